"""What a process expects of recipes that earlier trainings were made by."""

import numpy as np
import pytest

from narsfast.common.seeds import derive_seed
from narsfast.cost import Counter
from narsfast.predictor import Effects, Noise, Prior, Process
from narsfast.space import Candidate, load_space

SPACE = load_space("tiny")


def prior(**effects):
    known = {
        name: Effects(tuple(values), tuple(found), log) for name, (values, found, log) in effects.items()
    }
    return Prior({}, known, (), {"other": 100})


ADAM = prior(ema=((False, True), (-1.0, 1.0), False), mixup=((0.0, 0.2), (0.5, -0.5), False))


@pytest.fixture(scope="module")
def counter():
    return Counter(SPACE, in_chans=1, num_classes=10)


@pytest.fixture(scope="module")
def genes(counter):
    return SPACE.random(300, derive_seed(0, "prior"))


@pytest.mark.parametrize(
    ("effects", "value", "found"),
    [
        (Effects((0.0, 0.2), (1.0, 3.0)), 0.05, 1.5),
        (Effects((0.0, 0.2), (1.0, 3.0)), 0.4, 3.0),
        (Effects((0.01, 1.0), (0.0, 2.0), log=True), 0.1, 1.0),
        (Effects((32, 64), (1.0, 3.0)), 64.0, 3.0),
        (Effects(("sgd", "adamw"), (1.0, -1.0)), "adamw", -1.0),
        (Effects(("sgd", "adamw"), (1.0, -1.0)), "rmsprop", 0.0),
        (Effects((False, True), (1.0, -1.0)), True, -1.0),
        (Effects((0, 1), (1.0, -1.0)), True, 0.0),
        (Effects((False, True), (1.0, -1.0)), 1, 0.0),
    ],
)
def test_an_effect_is_that_of_the_value_or_between_its_neighbors(effects, value, found):
    assert effects.of(value) == pytest.approx(found)


def test_a_column_sums_the_effects_of_a_recipe(counter, genes):
    from narsfast.predictor._metric import codes
    from narsfast.predictor._stages import gene_rows

    sums = ADAM.column(SPACE)[gene_rows(SPACE, codes(SPACE, genes))].sum(axis=1)
    for total, candidate in zip(sums, SPACE.decode(genes), strict=True):
        recipe = candidate.recipe
        wanted = (1.0 if recipe["ema"] else -1.0) + float(np.interp(recipe["mixup"], (0, 0.2), (0.5, -0.5)))
        assert total == pytest.approx(wanted)


def test_with_few_labels_the_better_recipe_is_expected_to_be_better(counter, genes):
    (one,) = SPACE.decode(genes[:1])
    pair = SPACE.encode(
        [Candidate(one.architecture, {**one.recipe, "ema": value}) for value in (False, True)]
    )
    alike = [
        row
        for row, one in enumerate(SPACE.decode(genes))
        if not one.recipe["ema"] and one.recipe["mixup"] == 0
    ]
    labels = np.linspace(60, 70, len(alike[:8]))
    plain, known = (
        Process.of(counter, genes, Noise(300), chosen).fit(genes[alike[:8]], labels, 0).scores(pair)
        for chosen in (None, ADAM)
    )
    assert known[1] - known[0] > 1.0 + plain[1] - plain[0]


def test_labels_that_contradict_it_overrule_it(counter, genes):
    ema = np.array([bool(candidate.recipe["ema"]) for candidate in SPACE.decode(genes)])
    labels = np.where(ema, 60.0, 70.0) + np.random.default_rng(0).normal(0, 0.5, len(genes))
    (one,) = SPACE.decode(genes[-1:])
    pair = SPACE.encode(
        [Candidate(one.architecture, {**one.recipe, "ema": value}) for value in (False, True)]
    )
    fitted = Process.of(counter, genes, Noise(300), ADAM).fit(genes[:96], labels[:96], 0)
    scores = fitted.scores(pair)
    assert scores[0] > scores[1] + 3


def test_slopes_of_statistics_are_those_of_the_prior(counter, genes):
    reverse = Prior({"macs": -2.0}, {}, (), {})
    labels, order = (
        np.full(4, 70.0) + np.arange(4),
        np.argsort(counter(genes)[:, counter.names.index("macs")]),
    )
    middle = order[148:152]
    scores = (
        Process.of(counter, genes, Noise(300), reverse).fit(genes[middle], labels, 0).scores(genes[order])
    )
    assert scores[0] > scores[-1]


def test_plain_data_and_back():
    assert Prior.from_dict(ADAM.to_dict()) == ADAM
