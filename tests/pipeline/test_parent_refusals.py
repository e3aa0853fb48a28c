"""Runs from parents that cannot be: budgets outside of their space, images and sides that a parent cannot take."""

import numpy as np
import pytest

from narsfast import pipeline
from narsfast.arch import create_model, read_definition, save_weights
from narsfast.cost import Budget, Counter
from narsfast.data import dataset_from, save_dataset
from narsfast.errors import UserError
from narsfast.pipeline._checks import check_reach
from narsfast.pipeline._parents import children_space
from narsfast.space import Space

pytestmark = pytest.mark.usefixtures("always_few_steps")

CODE = """
from torch import nn


class Only(nn.Module):
    \"\"\"A network for images of one side, as those of attention often are.\"\"\"

    def __init__(self, num_classes, in_chans):
        super().__init__()
        self.first, self.last = nn.Conv2d(in_chans, 4, 3, 32, 1), nn.Linear(4, num_classes)

    def forward(self, x):
        assert x.shape[-1] in (96, 224), f"height {x.shape[-1]} is not that of the model"
        return self.last(self.first(x).mean((2, 3)))


def only(num_classes, in_chans):
    return Only(num_classes, in_chans)
"""


@pytest.fixture(scope="module")
def only(tmp_path_factory):
    """Write a network that can take few sides, with its weights, and return how it is named as a parent."""
    folder = tmp_path_factory.mktemp("only")
    (folder / "own.py").write_text(CODE)
    save_weights(create_model(f"{folder / 'own.py'}:only", 7, 3), folder / "own.safetensors")
    return f"{folder / 'own.py'}:only={folder / 'own.safetensors'}"


@pytest.fixture
def options(few_images, smallest, parent):
    given = {name: value for name, value in smallest.items() if name != "space"}
    return given | {"parents": [parent], "budgets": ["macs=600K"]}


@pytest.fixture(scope="module")
def search(tmp_path_factory, few_images, smallest, parent):
    given = {name: value for name, value in smallest.items() if name != "space"}
    out = tmp_path_factory.mktemp("runs") / "run"
    with pipeline.open_search(out, given | {"parents": [parent], "budgets": ["macs=600K"]}) as opened:
        yield opened


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (
            {"macs": 1e4},
            r"budget macs<=10K is below the smallest network \(the networks of space children of small ",
        ),
        ({"params": 100}, r"is below the smallest network .* have params [\d,]+ to [\d,]+\); raise it"),
        ({"depth": 2, "macs": 1e9}, r"is below the smallest network .* have depth \d+ to \d+\); raise it"),
        ({"macs": (1e9, 2e9)}, r"is above the largest network .* have macs [\d,]+ to [\d,]+\); lower it"),
        ({"peak_memory": (1e9, float("inf"))}, r"is above the largest network .* have peak_memory "),
    ],
)
def test_budgets_that_no_child_keeps_name_the_range(search, bounds, message):
    budget = Budget(**bounds)
    with pytest.raises(UserError, match=message):
        check_reach(search, budget, f"budget {budget.label()}")


def test_the_range_is_that_of_the_space(search):
    genes = search.space.random(500, 0)
    macs = search.counter(genes)[:, 0]
    budget = Budget(macs=(1e9, 2e9))
    with pytest.raises(UserError) as error:
        check_reach(search, budget, "budget")
    least, most = (
        int(n.replace(",", "")) for n in str(error.value).split("have macs ")[1].split(")")[0].split(" to ")
    )
    assert least <= macs.min() < 2 * least
    assert most >= macs.max() > most / 2
    (known,) = search.space.parents
    assert (known.name, str(error.value).count(known.name)) == ("small", 1)


def test_a_bound_above_the_largest_child_is_said(search, caplog):
    budget = Budget(macs=1e9, params=5e3)
    check_reach(search, budget, f"budget {budget.label()}")
    (said,) = caplog.messages
    assert said.startswith(
        "budget macs<=1G,params<=5K is above the largest network (the networks of space children of"
    )
    assert said.endswith("so that macs is not bounded")


def test_they_are_refused_before_the_pool_is_sampled(options, tmp_path, monkeypatch):
    monkeypatch.setattr("narsfast.pipeline._search.sample_pool", None)
    with (
        pipeline.open_search(tmp_path / "budget", options | {"budgets": ["macs=600K", "macs=1K"]}) as search,
        pytest.raises(UserError, match="budget macs<=1K is below the smallest network"),
    ):
        pipeline.pretrain(search)
    with (
        pipeline.open_search(tmp_path / "pool", options | {"pool_bounds": "macs=1G:2G"}) as search,
        pytest.raises(UserError, match=r"^pool_bounds 'macs=1G:2G' is above the largest network"),
    ):
        pipeline.pretrain(search)


def test_parents_of_other_channels_are_refused_before_anything_is_made(
    options, tmp_path, parent, monkeypatch
):
    monkeypatch.setattr("narsfast.pipeline._search.sample_pool", None)
    definition = parent.partition("=")[0]
    save_weights(create_model(read_definition(definition), 7, 1), tmp_path / "gray.safetensors")
    random = np.random.default_rng(0)
    images = [(random.integers(0, 256, (32, 32, 3), dtype=np.uint8), number % 2) for number in range(8)]
    data = tmp_path / "colors.safetensors"
    save_dataset(dataset_from(images, images, images), data)
    given = options | {"parents": [f"{definition}={tmp_path / 'gray.safetensors'}"], "data": str(data)}
    with (
        pipeline.open_search(tmp_path / "run", given) as search,
        pytest.raises(
            UserError, match=r"parent small takes images of 1 channel\(s\), and the data has 3; name a"
        ),
    ):
        pipeline.pretrain(search)


def test_whole_networks_take_part_at_the_sides_that_they_can_take(only, tmp_path):
    space = children_space([only])
    assert space.values("resolution") == (96, 224)
    file = tmp_path / "whole.safetensors"
    save_weights(create_model("torchvision:shufflenet_v2_x0_5", 7, 3), file)
    assert children_space([f"torchvision:shufflenet_v2_x0_5={file}"]).values("resolution") == (
        64,
        96,
        128,
        160,
        192,
        224,
    )


def test_sides_that_a_parent_cannot_take_are_refused(only, parent, options, tmp_path, run_narsfast):
    both = children_space([only, parent])
    assert both.values("resolution") == (32, 96, 224)
    said = r"own\.py:only cannot take images of 1 x 32 x 32 \(AssertionError: height 32 is not that of the model\); "
    with pytest.raises(UserError, match=said + "give `fix` another resolution, or leave the network out"):
        Counter(both, 1, 10)(both.random(2, 0))
    assert Counter(both.fix({"resolution": 96}), 1, 10)(both.random(2, 0)[:0]).shape == (0, 7)
    given = ("--data", options["data"], "--parent", only, "--parent", parent)
    code, _, text = run_narsfast("latency", "measure", *given, "--seconds", "0", "--out", tmp_path / "t.json")
    assert code == 1
    assert "cannot take images of 1 x 32 x 32" in " ".join(text.split())
    with pytest.raises(UserError, match="resolution is 20; it must be 32, 96 or 224"):
        both.fix({"resolution": 20})


def test_sides_on_which_kernels_do_not_fit_are_refused():
    definition = create_model("FBNetV3_A").definition
    space = Space.from_dict(
        {
            "name": "edited",
            "parents": [{"reference": "FBNetV3_A", "name": "fbnetv3_a", "definition": definition.to_dict()}],
            "architecture": {"parent": "fbnetv3_a", "resolution": {"choices": [96, 32]}},
        }
    )
    said = r"parent fbnetv3_a cannot take images of 32 x 32 \(row .* of definition 'FBNetV3_A': kernel "
    with pytest.raises(UserError, match=said + ".*; give `fix` another resolution, or leave the parent out"):
        Counter(space, 3, 10)(space.random(1, 0))
