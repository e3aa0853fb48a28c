"""The options of a run are the fields of its configuration, and the keywords of `narsfast.search`."""

import inspect
from typing import get_type_hints

import pytest
from pydantic import ValidationError

import narsfast
from narsfast.common.options import RUN_OPTIONS, TRAINER_OPTIONS
from narsfast.pipeline import RunConfig
from narsfast.pipeline._run_options import RunOptions
from narsfast.training import TrainerSettings

RESOLVED = {"data", "space", "pool_bounds", "budgets", "latency", "time"}
"""Fields that are stored in another form than they are given."""

OURS = {"extra_statistics", "planned"}
"""Fields that follow from what is given."""


def test_configuration_has_every_option_as_a_field():
    given_only = {"recipe_space", "fix", "workers", "parents"}
    assert RunConfig.model_fields.keys() - OURS == RUN_OPTIONS.keys() - given_only
    assert list(TrainerSettings.model_fields) == list(TRAINER_OPTIONS)


def test_search_has_every_option_as_a_keyword():
    named = inspect.signature(narsfast.search).parameters.keys()
    assert RUN_OPTIONS.keys() == RunOptions.__annotations__.keys() | (RUN_OPTIONS.keys() & named)


@pytest.mark.parametrize("name", sorted(RunConfig.model_fields.keys() - RESOLVED - OURS))
def test_field_is_as_its_option(name):
    field, option = RunConfig.model_fields[name], RUN_OPTIONS[name]
    assert get_type_hints(RunConfig)[name] == option.type
    assert field.default == option.default
    assert field.description == option.description
    assert option.description.endswith(".")


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [("clip_norm", 0, 0.1), ("accumulate", 0, 1), ("threads_per_trial", 0, 1), ("ops", "fast", "torch")],
)
def test_bounds_and_choices_hold_in_the_configuration(name, wrong, right):
    with pytest.raises(ValidationError):
        TrainerSettings(**{name: wrong})
    assert getattr(TrainerSettings(**{name: right}), name) == right
