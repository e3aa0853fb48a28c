import argparse
import json

import numpy as np
import pytest

from bench import joint_vs_single as joint
from narsfast.cost import Budget, Counter
from narsfast.pipeline._config import resolve_config
from narsfast.search import Pool
from narsfast.space import Space, load_space

OPTIONS = {**joint.OPTIONS, **joint.QUICK, "data": "digits", "seed": 0}


def space_of(search, seed=0):
    """Return the space that a search walks."""
    options = {**OPTIONS, "seed": seed}
    config = resolve_config({**options, "fix": joint.fixed(search, options)})
    return Space.from_dict(config.space)


def test_architecture_only_fixes_recipe_to_its_middle():
    space = space_of("architecture_only")
    assert space.searches_architecture
    assert not space.searches_recipe
    assert space.values("optimizer") == ("rmsprop",)
    assert space.values("learning_rate") == (0.014,)  # the fourth of eight
    assert space.values("mixup") == (0.2,)  # the third of five


@pytest.mark.parametrize("seed", [0, 1])
def test_recipe_only_fixes_architecture_inside_budget(seed):
    space = space_of("recipe_only", seed)
    assert space.searches_recipe
    assert not space.searches_architecture
    counter = Counter(space, in_chans=1, num_classes=10)
    macs = counter(space.random(8, 0))[:, list(counter.names).index("macs")]
    assert len(set(macs.tolist())) == 1
    assert Budget.parse(joint.OPTIONS["pool_bounds"]).within(macs[:1, None], ("macs",)).all()


def test_joint_search_fixes_nothing():
    assert joint.fixed("joint", OPTIONS) == {}


def test_nearest_to_middle_keeps_the_budget():
    space = load_space("tiny")
    counter = Counter(space, in_chans=1, num_classes=10)
    middle = joint.middle(space)
    near, far = middle.copy(), middle.copy()
    near[0, space.column("stage1.kernel.first")] = 1
    far[0, space.architecture_fields] = space.sizes[space.architecture_fields] - 1
    smallest = np.zeros_like(middle)
    for stride in ("stage1.stride", "stage3.stride"):
        far[0, space.column(stride)], smallest[0, space.column(stride)] = 0, 1
    genes = space.canonical(np.concatenate([smallest, far, middle, near]))
    pool = Pool(genes, counter(genes))
    macs = pool.statistics[:, list(counter.names).index("macs")]
    assert macs[0] < macs[2] < macs[3] < macs[1]

    def picked(bound):
        return joint.nearest_to_middle(counter, pool, Budget.parse(f"macs={bound}"))[0].tolist()

    assert picked(macs[1]) == genes[2].tolist()
    assert picked(macs[2] - 1) == genes[0].tolist()
    without_middle = Pool(genes[[0, 1, 3]], pool.statistics[[0, 1, 3]])
    budget = Budget.parse(f"macs={macs[1]}")
    assert joint.nearest_to_middle(counter, without_middle, budget)[0].tolist() == genes[3].tolist()


def row(search, seed, test):
    return {"data": "digits", "search": search, "seed": seed, "test": test}


def swapped(seed, large, small):
    own = {"large_own": 95.0, "small_own": 90.0}
    return {"data": "digits", "search": "swap", "seed": seed, "equal_recipes": False, **own} | {
        "large_swapped": large,
        "small_swapped": small,
    }


def test_gaps_pair_equal_seeds_and_have_standard_errors():
    first = [row("joint", 0, 96.0), row("architecture_only", 0, 95.0), row("recipe_only", 0, 97.0)]
    first += [swapped(0, 94.0, 91.0)]
    second = [row("joint", 1, 90.0), row("architecture_only", 1, 87.0), row("recipe_only", 1, 89.0)]
    second += [swapped(1, 91.0, 90.0)]
    figures = joint.figures_of([*first, *second])
    assert figures["digits_joint_test"] == 93.0
    assert figures["digits_joint_minus_architecture"] == 2.0
    assert figures["digits_joint_minus_architecture_error"] == pytest.approx(1.0)
    assert figures["digits_joint_minus_recipe"] == 0.0
    assert figures["digits_swap_loss"] == 1.0
    assert figures["digits_swap_loss_error"] == pytest.approx(1.0)
    equal = {"data": "digits", "search": "swap", "seed": 1, "equal_recipes": True}
    assert (
        joint.figures_of([*first, *second[:3], equal])["digits_swap_loss"] == 0.0
    )  # of the other seed alone
    alone = joint.figures_of(first)
    assert alone["digits_joint_minus_recipe"] == -1.0
    assert not [name for name in alone if name.endswith("_error")]


def test_digits_alone_need_no_photos():
    assert not joint._reads_photos(argparse.Namespace(on=None, quick=True))
    assert joint._reads_photos(argparse.Namespace(on=None, quick=False))
    assert not joint._reads_photos(argparse.Namespace(on=["digits"], quick=False))


@pytest.mark.long
def test_measure_returns_a_row_per_search_and_reuses_what_is_kept(tmp_path):
    options = {**joint.OPTIONS, **joint.QUICK, "pool_size": 16, "iterations": 1}
    rows = joint.measure(tmp_path, "digits", "digits", 0, options, workers=1)
    assert [row["search"] for row in rows] == [*joint.SEARCHES, "swap"]
    searches = rows[:-1]
    assert len({(row["trainings"], row["final_epochs"]) for row in searches}) == 1
    assert all(row["trainings"] == options["trials_per_batch"] for row in searches)
    assert all(row["macs"] <= 4_000_000 for row in searches)
    if not rows[-1]["equal_recipes"]:
        kept = tmp_path / "digits-0-joint" / "swap.json"
        kept.write_text(json.dumps(json.loads(kept.read_text()) | {"large_own": 12.5}))
        rows[-1] |= {"large_own": 12.5}
    assert joint.measure(tmp_path, "digits", "digits", 0, options, workers=1) == rows
