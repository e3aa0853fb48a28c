"""A run goes on in the environment that it was started in, or in one that the user accepts."""

from pathlib import Path

import pytest

from narsfast import pipeline
from narsfast.errors import UserError
from narsfast.report import collect
from narsfast.runs import RunStore

OPTIONS = {"space": str(Path(__file__).parent.parent / "small.yaml")}
ACCEPTED = pipeline.Resume(accept_environment=True)


@pytest.fixture
def started(tmp_path):
    """Start a run, and change what it knows of its environment."""

    def start(**other):
        with pipeline.open_search(tmp_path, OPTIONS) as search:
            facts = search.store.facts
            here = facts.versions
            facts.versions = here | {name: change(here[name]) for name, change in other.items()}
        return tmp_path

    return start


def patched(version):
    """Give a version another patch: 3.11.9 for 3.11.4, 2.14.9+cpu for 2.14.1+cpu."""
    first, second, rest = version.split(".", 2)
    return f"{first}.{second}.9{rest.lstrip('0123456789')}"


@pytest.mark.parametrize("name", ["python", "torch", "loader_version"])
def test_patch_is_accepted_stored_and_shown(started, name):
    path = started(**{name: patched})
    with pytest.raises(UserError, match=rf"{name} .*; resume the run with `accept_environment`"):
        pipeline.open_search(path)
    with pipeline.open_search(path, resume=ACCEPTED) as search:
        now = search.store.facts.versions
    pipeline.open_search(path).close()  # it was accepted once
    with RunStore.read(path) as run:
        assert run.facts.versions == now
        assert run.facts.accepted[0].startswith(f"{name} (stored ")
        assert collect(run)["accepted"] == list(run.facts.accepted)


@pytest.mark.parametrize(
    "other",
    [
        {"torch": lambda _: "1.13.1"},
        {"python": lambda _: "3.7.9"},
        {"machine": lambda _: "riscv64"},
        {"instruction_set": lambda _: "other"},
        {"torch": lambda version: f"{version.partition('+')[0]}+rocm6"},
        {"torch": patched, "machine": lambda _: "riscv64"},
    ],
    ids=["torch", "python", "machine", "instructions", "build", "patch and machine"],
)
def test_anything_else_is_refused_whatever_is_accepted(started, other):
    path = started(**other)
    with pytest.raises(UserError, match=r"another environment: .*; resume it there, or start another run"):
        pipeline.open_search(path, resume=ACCEPTED)


def test_acceptance_without_need_changes_nothing(started):
    with pipeline.open_search(started(), resume=ACCEPTED) as search:
        assert search.store.facts.accepted is None
