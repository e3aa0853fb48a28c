"""What a run says of its networks: probabilities from the race and the process, and the gain of more trials."""

import json

import numpy as np
import pytest

from narsfast import pipeline
from narsfast.cost import Counter
from narsfast.pipeline._worth import accuracy_interval, chance_of_best, gain_of_trials
from narsfast.predictor import Noise, Process
from narsfast.runs import RunStore, Worth
from narsfast.search import sample_pool
from narsfast.space import load_space

pytestmark = pytest.mark.usefixtures("always_few_steps")


@pytest.fixture(scope="module")
def process():
    """Provide a process that was fitted to accuracies that rise with the multiply-adds, with its candidates."""
    counter = Counter(load_space("tiny"), 1, 10)
    genes = sample_pool(counter, None, 60, 0).genes
    costs = np.log(counter(genes)[:, 0])
    labels = 70 + 10 * (costs - costs.mean()) / costs.std()
    order = np.argsort(labels)
    fitted = Process.of(counter, genes, Noise(400)).fit(genes[order[::3]], labels[order[::3]], 0)
    return fitted, genes[order]


@pytest.mark.parametrize(("accuracy", "images"), [(80.0, 400), (0.0, 10), (100.0, 10), (84.21, 380)])
def test_the_interval_holds_the_accuracy_and_narrows_with_more_images(accuracy, images):
    low, high = accuracy_interval(accuracy, images)
    assert 0 <= low < high <= 100
    assert low <= accuracy <= high or accuracy in (0, 100)
    wider = accuracy_interval(accuracy, images // 2)
    assert wider[1] - wider[0] > high - low


def test_the_interval_is_that_of_a_binomial_share():
    low, high = accuracy_interval(80.0, 10_000)
    assert (low, high) == pytest.approx((80 - 1.645 * 0.4, 80 + 1.645 * 0.4), abs=0.02)


def test_the_better_of_two_is_more_probably_so(process):
    fitted, genes = process
    worst, best = genes[:1], genes[-1:]
    assert chance_of_best(fitted, best, worst, 0) > 0.9
    assert chance_of_best(fitted, worst, best, 0) < 0.1
    assert chance_of_best(fitted, best, worst, 0) + chance_of_best(fitted, worst, best, 0) == pytest.approx(
        1.0
    )
    many = chance_of_best(fitted, best, genes[:-1], 0)
    assert many <= chance_of_best(fitted, best, genes[-2:-1], 0)
    assert many == chance_of_best(fitted, best, genes[:-1], 0)


def test_more_trials_bring_more_and_noise_takes_it_away(process):
    fitted, genes = process
    found, others = genes[-1:], genes[20:-1]
    gains = [gain_of_trials(fitted, found, others, n, 1.0, 0) for n in (0, 4, 30)]
    assert gains[0] == 0.0 <= gains[1] <= gains[2]
    assert gains[2] > 0
    assert gain_of_trials(fitted, found, others, 30, 1e6, 0) < 0.1 * gains[2]


def test_no_trials_bring_more_than_all_right(process):
    fitted, genes = process
    space, few = fitted.space, genes[:4]
    sure = fitted.fit(few, [60.0, 75.0, 90.0, 97.0], 0)
    others = np.unique(space.random(192, 4), axis=0)
    gain = gain_of_trials(sure, few[3:], others, 800, 4.0, 0)
    assert 0 <= gain <= 100 - min(100.0, float(sure.scores(few[3:])[0])) + 2


def test_a_run_says_what_it_was_worth(tmp_path, smallest, run_narsfast):
    options = smallest | {"explore": False, "finalists": 2, "trials_per_batch": 3, "budgets": ["macs=1M"]}
    (result,) = pipeline.run(tmp_path / "run", options, workers=1)
    with RunStore.read(tmp_path / "run") as run:
        (worth,) = run.facts.worths
        (family,) = run.facts.families
    low, high = worth.interval
    assert worth.candidate == result.candidate
    assert low < result.test < high
    assert worth.anchor in {one.candidate for one in family.finalists if one.origin == "anchor"}
    assert (worth.over_anchor is None) == (worth.anchor == result.candidate)
    assert worth.randoms > 0
    assert 0 <= worth.over_random <= 1
    assert worth.gain >= 0
    assert worth.trials > 0
    assert f"macs<=1M: {worth.sentence()}" in " ".join(run_narsfast("best", tmp_path / "run")[1].split())
    (row,) = json.loads(run_narsfast("best", tmp_path / "run", "--json")[1])["results"]
    assert row["worth"]["gain"] == worth.gain
    assert worth.sentence() in (tmp_path / "run" / "report.html").read_text()


def test_the_recipe_of_one_network_says_it_too(tmp_path, smallest):
    given = {name: value for name, value in smallest.items() if name != "space"}
    given |= {"model": "torchvision:shufflenet_v2_x0_5", "fix": {"resolution": 32}, "explore": False}
    pipeline.run(tmp_path / "run", given | {"finalists": 2, "trials_per_batch": 3}, workers=1)
    with RunStore.read(tmp_path / "run") as run:
        (worth,) = run.facts.worths
    assert worth.randoms > 0
    assert worth.gain >= 0


def test_a_run_that_is_not_steered_makes_no_claim(tmp_path, smallest):
    pipeline.run(tmp_path / "run", smallest, workers=1)
    with RunStore.read(tmp_path / "run") as run:
        assert run.facts.worths is None


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, "accuracy between 70.0 and 80.0 % (9 in 10)"),
        ({"over_anchor": 0.9, "anchor": "b"}, "with probability 0.90"),
        ({"anchor": "a"}, "it is what is known to work"),
        ({"over_random": 0.75, "randoms": 5}, "than the best of 5 random trials 0.75"),
        ({"gain": 0.31, "trials": 7}, "7 more trials in another hour would bring 0.3 points"),
    ],
)
def test_it_is_said_in_words(known, words):
    nothing = {
        "anchor": None,
        "over_anchor": None,
        "randoms": 0,
        "over_random": None,
        "trials": None,
        "gain": None,
    }
    worth = Worth("macs<=1M", "a", (70.0, 80.0), **(nothing | known))
    assert words in worth.sentence()
