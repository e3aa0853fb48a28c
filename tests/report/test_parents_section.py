"""The page of a run whose candidates are children of pretrained networks."""

import pytest

from narsfast.arch import Family, create_model
from narsfast.common.candidate import Candidate
from narsfast.common.trial import Trial
from narsfast.report import collect, write_report
from narsfast.report._figures import accuracy_against_macs
from narsfast.runs import Family as FoundFamily
from narsfast.runs import FoundCandidate, PickedCandidate, Result, RunStore
from narsfast.space import Space

from .test_page import Page

NAME = "mobilenet_v3_small"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Provide a run of two trials of a parent as it is, one of a child, and one of a network that takes part whole."""
    family = Family(create_model(NAME).definition)
    fields = dict(family.fields)
    space = Space.from_dict(
        {
            "name": "children",
            "parents": [
                {"reference": f"torchvision:{NAME}", "name": NAME, "definition": family.parent.to_dict()}
                | {"sha256": "ab" * 32},
                {
                    "reference": "timm:resnet18<",
                    "source": "timm:resnet18",
                    "name": "resnet",
                    "resolution": 224,
                },
            ],
            "architecture": {"parent": {"choices": [NAME, "resnet"]}, "resolution": fields.pop("resolution")}
            | {f"{NAME}.{name}": spec for name, spec in fields.items()},
        }
    )
    own = {f"{NAME}.{name}": value for name, value in family.own.items()}

    def candidate(**values):
        return Candidate({"parent": NAME, "resolution": 224, **own, **values}, {})

    candidates = [
        candidate(),
        candidate(resolution=96),
        candidate(**{f"{NAME}.stage2.depth": 1, f"{NAME}.stage4.hidden": 50, "resolution": 64}),
        Candidate({"parent": "resnet", "resolution": 128}, {}),
    ]
    genes = space.encode(candidates)
    config = {"data": "digits", "space": space.to_dict(), "correlation": "kendall"}
    store = RunStore.open(tmp_path_factory.mktemp("runs") / "run", config)
    picked = [
        PickedCandidate(one.id, tuple(row), one.architecture, one.recipe, None)
        for one, row in zip(candidates, genes.tolist(), strict=True)
    ]
    store.add_batch(0, 2, picked)
    for number, one in enumerate(candidates):
        store.add_trial(Trial(one.id, (50.0, 60.0 + number), "ok", 2, 1.0), "search")
    costs = {one.id: {"macs": 10_000_000 * (4 - n), "params": 1000} for n, one in enumerate(candidates)}
    store.facts.statistics = costs
    store.facts.early_stop_epoch = 2
    store.add_trial(Trial(f"tuned:{NAME}", (40.0, 64.0), "ok", 2, 1.0), "baseline")
    child = candidates[2]
    store.facts.families = (
        FoundFamily("macs=20M", "macs<=20M", 1, (FoundCandidate(child, 60.0, 1.0, costs[child.id]),)),
    )
    store.add_trial(Trial(child.id, (70.0,), "ok", 1, 1.0), "final")
    store.add_result(Result("macs<=20M", child.id, 20_000_000, 1000, 60.0, 70.0, 69.0, "family/macs"))
    yield store
    store.close()


def test_parents_as_they_are_are_marked_in_the_plot(run):
    (marked,) = (t for t in accuracy_against_macs(collect(run))["data"] if t["name"] == "parents as they are")
    assert marked["text"] == [f"{NAME}, 224 px", f"{NAME}, 96 px", "resnet, 128 px"]
    assert marked["x"] == [40_000_000, 30_000_000, 10_000_000]
    assert marked["y"] == [60.0, 61.0, 63.0]


def test_page_says_which_parent_and_how_much_of_it(run, tmp_path):
    page = Page(write_report(run, tmp_path / "report.html").read_text())
    _, first, second = page.tables["parents"]
    assert first == [
        NAME,
        f"torchvision:{NAME}",
        "yes",
        "3",
        "62.00",
        "64.00",
        "60.00 at 224 px, 40M MACs; 61.00 at 96 px, 30M MACs",
        "abababababab",
    ]
    assert second[:6] == ["resnet", "timm:resnet18<", "no, it takes part whole", "1", "63.00", "\N{EN DASH}"]
    rows = {row[0]: row[1:] for row in page.tables["kept-0"]}
    assert rows["resolution"][1] == "64 px of 224"
    assert rows["stage2"][0] == "1 of 2"
    assert rows["stage4"][2].split(" of ")[1] == "120"
    trials = page.tables["trials"]
    assert trials[0][2] == "parent"
    assert {row[2] for row in trials[1:] if row[2].startswith("resnet")} == {"resnet at 128 px, as it is"}
    assert "parents-section" in page.ids


def test_page_of_a_run_without_parents_says_nothing_of_them(report):
    page = Page(report.read_text())
    assert "parents-section" not in page.ids
    assert "parent" not in page.tables["trials"][0]
