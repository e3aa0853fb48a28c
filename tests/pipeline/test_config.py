import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from narsfast.common.options import RUN_OPTIONS
from narsfast.common.renamed import DONE_BY_0_2, OLD_FIELDS
from narsfast.cost import Budget
from narsfast.errors import UserError
from narsfast.pipeline._config import resolve_config
from narsfast.pipeline._open import _default_workers, open_search
from narsfast.runs import PickedCandidate, RunStore
from narsfast.space import Space, load_space


@pytest.mark.parametrize("name", RUN_OPTIONS)
def test_value_of_no_type_of_an_option_is_refused_in_a_sentence(name):
    for value in (object(), [object()]):
        with pytest.raises(UserError, match=rf"^{name}\b"):
            resolve_config({"space": "tiny", name: value})


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("data", "'digits', or a folder of images"),
        ("space", "a space, its name or its file"),
        ("pool_bounds", "bounds, as in 'macs=10M:50M'"),
        ("latency", "the file of a latency table"),
    ],
)
def test_value_of_another_type_is_refused_with_what_is_right(name, right):
    with pytest.raises(UserError, match=f"^{name} is 3; give {right}$"):
        resolve_config({name: 3})


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2"])
def test_workers_are_counted(tmp_path, workers):
    with pytest.raises(UserError, match=r"workers is .*; it must be a whole number of at least 1"):
        open_search(tmp_path / "run", {}, workers)
    assert not (tmp_path / "run").exists()


def test_defaults_come_from_the_space():
    config = resolve_config({})
    tiny = load_space("tiny")
    assert Space.from_dict(config.space) == tiny
    assert config.data == "digits"
    assert config.budgets == ("macs=1M", "macs=2M", "macs=4M")
    assert config.pool_bounds is None
    assert resolve_config({"explore": True}).pool_bounds == "macs=500K:10M"
    assert config.pool_size >= 2000
    assert config.trials_per_batch * config.iterations >= 20
    assert (config.iterations, config.epochs) == (3, 8)


def test_a_folder_takes_the_mobile_space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = resolve_config({"data": "photos"})
    assert config.space["name"] == "mobile"
    assert config.data == str(tmp_path / "photos")


@pytest.mark.parametrize("budget", ["macs=1M", Budget(macs=1e6)])
def test_one_value_is_a_list_of_one(budget):
    config = resolve_config({"budgets": budget, "baselines": "torchvision:mobilenet_v3_small"})
    assert config.budgets == ("macs=1M",)
    assert config.baselines == ("torchvision:mobilenet_v3_small",)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budgets": 5e6}, r"budgets is 5000000.0; give a list, as in \['macs=50M'\]"),
        ({"budgets": [5e6]}, r"budgets is \[5000000.0\]; give a list"),
        ({"baselines": {"resnet": 1, 2: 3}}, "baselines is .*; give a list"),
        ({"fix": "resolution=64"}, "fix is 'resolution=64'; give values by field, as in {'resolution': 64}"),
        ({"fix": ["resolution=64"]}, "fix is .*; give values by field"),
        ({"pool_bounds": "macs=5X"}, "pool_bounds 'macs=5X': the bound '5X' should be a number"),
    ],
)
def test_values_of_other_types_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        resolve_config(options)


def test_fixed_fields_are_in_the_stored_space():
    config = resolve_config({"fix": {"optimizer": "sgd"}})
    assert Space.from_dict(config.space).values("optimizer") == ("sgd",)


def test_stored_values_hold_unless_said_otherwise():
    stored = resolve_config({"seed": 3, "budgets": ["macs=3M"]}).model_dump(mode="json")
    assert resolve_config({}, stored).model_dump(mode="json") == stored
    assert resolve_config({"seed": 4}, stored).seed == 4
    assert resolve_config({"budgets": ["macs=5M"]}, stored).budgets == ("macs=5M",)


def test_the_same_said_another_way_is_the_same():
    one = resolve_config({"budgets": ["macs=1000K"], "data": "digits"})
    assert one == resolve_config({"budgets": ["macs=1M"]})


def test_the_device_is_resolved_where_the_run_is_made(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    made = resolve_config({})
    assert made.device == "cuda"
    assert resolve_config({"device": "cpu"}).device == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert resolve_config({}).device == "cpu"
    stored = made.model_dump(mode="json")
    assert resolve_config({}, stored).device == "cuda"
    assert resolve_config({"device": "auto"}, stored).device == "cpu"
    with pytest.raises(UserError, match="device is 'cuda'; torch finds no CUDA device here"):
        resolve_config({"device": "cuda"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pool_size": 1}, "pool_size is 1; it must be greater than or equal to 16"),
        ({"threshold": 2}, "threshold is 2; it must be less than or equal to 1"),
        (
            {"optim_backend": "fast"},
            "optim_backend is 'fast'; it must be 'auto', 'native', 'torch' or 'apex'",
        ),
        ({"recipe_space": "exotic"}, "recipe_space is 'exotic'; it must be one of extended, finetune, paper"),
        ({"precision": "fp8"}, "precision is 'fp8'; it must be"),
        ({"clip_norm": 0}, "clip_norm is 0; it must be greater than 0"),
        ({"sead": 1}, "sead is 1; there is no such field"),
        ({"budgets": ["macs"]}, "budget 'macs' should be"),
        ({"data": ""}, "data is empty"),
        ({"trials_per_batch": 100, "pool_size": 256}, "pool_size is 256; 3 batches of 100 need at least 300"),
    ],
)
def test_mistakes_name_the_field_and_the_value(options, said):
    with pytest.raises(UserError, match=said):
        resolve_config(options)


@pytest.mark.parametrize(("processes", "workers"), [(1, 8), (2, 4), (9, 1)])
def test_by_default_there_is_a_worker_for_each_group_of_gpus(monkeypatch, processes, workers):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    assert _default_workers(resolve_config({"device": "cuda", "processes_per_trial": processes})) == workers


def test_by_default_there_is_a_worker_a_core(monkeypatch):
    monkeypatch.setattr("narsfast.pipeline._open.usable_cores", lambda: 6)
    assert _default_workers(resolve_config({"device": "cpu"})) == 6
    assert _default_workers(resolve_config({"device": "cpu", "processes_per_trial": 2})) == 3


def test_fixing_the_same_again_changes_nothing():
    stored = resolve_config({"fix": {"optimizer": "sgd"}}).model_dump(mode="json")
    assert resolve_config({"fix": {"optimizer": "sgd"}}, stored).model_dump(mode="json") == stored
    with pytest.raises(UserError, match="rmsprop"):
        resolve_config({"fix": {"optimizer": "rmsprop"}}, stored)


def test_the_recipe_space_widens_the_stored_space_before_fields_are_fixed():
    options = {"recipe_space": "extended", "fix": {"optimizer": "adamw", "cutmix": 0.5}}
    config = resolve_config(options)
    space = Space.from_dict(config.space)
    assert space.values("optimizer") == ("adamw",)
    assert space.values("cutmix") == (0.5,)
    assert space.values("erasing") == (0.0, 0.1, 0.25)
    stored = config.model_dump(mode="json")
    assert resolve_config(options, stored) == resolve_config({}, stored) == config
    assert resolve_config({"recipe_space": "paper"}) == resolve_config({})


def _file(tmp_path, change):
    data = load_space("tiny").to_dict()
    change(data)
    file = tmp_path / "space.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    return str(file)


def test_a_space_without_budgets_needs_some(tmp_path):
    file = _file(tmp_path, lambda data: data.pop("budgets"))
    with pytest.raises(UserError, match="space tiny has no budgets; give `budgets`, as in macs=50M"):
        resolve_config({"space": file})
    assert resolve_config({"space": file, "budgets": ["macs=1M"]}).budgets == ("macs=1M",)


def test_a_space_without_a_pool_is_sampled_whole(tmp_path):
    file = _file(tmp_path, lambda data: data.pop("pool"))
    assert resolve_config({"space": file}).pool_bounds is None


def test_a_space_of_a_table_is_no_space_for_networks(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text("name: table\narchitecture: {width: {choices: [1, 2]}}\nrecipe: {}\n")
    with pytest.raises(UserError, match="space table has no stages"):
        resolve_config({"space": str(file)})


def test_the_same_budget_twice_is_one():
    given = ["macs=1M,params=1M", "params=1M,macs=1M"]
    assert resolve_config({"budgets": given}).budgets == ("macs=1M,params=1M",)


def stored_by_version_0_1():
    """Read the configuration of a default run on the digits, as version 0.1.0 stored it."""
    return json.loads((Path(__file__).parent / "stored_config_0_1.json").read_text())


def test_configuration_of_version_0_1_resolves_to_the_present_one(caplog):
    stored = stored_by_version_0_1()
    assert stored.keys() >= OLD_FIELDS.keys()
    assert resolve_config({}, stored) == resolve_config(DONE_BY_0_2)
    assert not caplog.records


def test_old_option_names_mean_the_present_fields():
    config = resolve_config(
        {"batch": 3, "members": 2, "budgets": ["macs=1M", "macs=2M"], "distil": "largest"}
    )
    assert (config.trials_per_batch, config.ensemble_members, config.distill) == (3, 2, "largest")


def test_run_of_version_0_1_opens_with_the_present_names(tmp_path):
    stored = stored_by_version_0_1()
    with RunStore.open(tmp_path / "run", stored) as run:
        run.add_batch(0, 1, [PickedCandidate("a" * 16, (0,), {}, {})])
    assert set(database_keys(tmp_path / "run")) == stored.keys()
    present = resolve_config({}, RunStore.stored_config(tmp_path / "run")).to_stored()
    with RunStore.open(tmp_path / "run", present) as run:
        assert run.config == present
    with pytest.raises(UserError, match=r"another configuration: trials_per_batch \(stored 8, given 9\)"):
        RunStore.open(tmp_path / "run", present | {"trials_per_batch": 9})


def database_keys(path):
    """Names of the configuration's fields, as they stand in the file."""
    with closing(sqlite3.connect(path / "run.db")) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM config")]
