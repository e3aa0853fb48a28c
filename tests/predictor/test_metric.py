import numpy as np
import pytest

from narsfast.predictor._metric import Metric, codes
from narsfast.space import Space, load_space

SPACE = Space.from_dict(
    {
        "name": "fields",
        "architecture": {
            "stepped": {"range": [4, 32, 4]},
            "names": {"choices": ["a", "b", "c"]},
            "width": {"choices": [16, 32, 64, 128]},
            "rate": {"choices": [0.5, 1, 2.5], "when": {"names": ["b", "c"]}},
            "constant": 3,
        },
        "recipe": {"ema": {"choices": [True, False]}, "epochs": {"choices": [4, 8]}},
    }
)


def test_fields_are_those_searched_of_the_part():
    names = [field.name for field in SPACE.fields]
    for part, wanted in (
        ("architecture", ["stepped", "names", "width", "rate"]),
        ("recipe", ["ema", "epochs"]),
    ):
        assert [names[column] for column in Metric.of(SPACE, part).columns] == wanted


@pytest.mark.parametrize("space", [SPACE, load_space("mobile")], ids=lambda space: space.name)
@pytest.mark.parametrize("part", ["architecture", "recipe"])
def test_two_values_drawn_at_random_have_mean_squared_distance_two(space, part):
    """Whatever the kind of the field, and however many values it has."""
    metric = Metric.of(space, part)
    for column, table in zip(metric.columns, metric.tables, strict=True):
        values = len(space.fields[column].values)
        assert table.shape == (values + 1, values + 1)
        assert table[:-1, :-1].mean() == pytest.approx(2)
        assert np.array_equal(table, table.T)
        assert (np.diag(table) == 0).all()


def test_ordered_values_are_as_far_as_their_ranks_and_others_all_alike():
    stepped, names, width, rate = Metric.of(SPACE, "architecture").tables
    np.testing.assert_allclose(stepped[0, :-1], stepped[0, 1] * np.arange(8) ** 2)
    np.testing.assert_allclose(names[0, 1:-1], 3)
    assert (np.diff(width[0, :-1]) > 0).all()
    assert width[0, 1] > width[0, 3] / 9  # different at all
    assert rate[0, -1] == pytest.approx(rate[2, -1])  # inactive: the middle
    assert rate[1, -1] < rate[0, -1] < rate[0, 2]


def test_inactive_fields_have_a_code_of_their_own():
    genes = SPACE.random(50, 0)
    coded = codes(SPACE, genes)
    active = SPACE.active(genes)
    assert (~active).any()
    assert np.array_equal(coded[active], genes[active])
    assert (coded[~active] == 3).all()


def test_distances_are_looked_up_by_field():
    coded = codes(SPACE, SPACE.random(20, 1))
    metric = Metric.of(SPACE, "architecture")
    distances = metric.distances(coded[:5], coded)
    assert distances.shape == (4, 5, 20)
    assert distances[1, 2, 7] == metric.tables[1][coded[2, 1], coded[7, 1]]
    assert Metric.of(SPACE.fix({"ema": True, "epochs": 4}), "recipe").distances(coded, coded).shape == (
        0,
        20,
        20,
    )
