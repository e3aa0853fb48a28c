import numpy as np
import pytest
import torch

from narsfast.predictor import MIN_STATISTIC
from narsfast.predictor._inputs import Inputs, Scaling, fold_order, order_columns
from narsfast.space import Space, load_space

ORDERED = Space.from_dict(
    {
        "name": "ordered",
        "architecture": {
            "stepped": {"range": [4, 32, 4]},
            "names": {"choices": ["a", "b", "c"]},
            "width": {"choices": [16, 32, 64, 128]},
            "two": {"choices": [3, 5]},
            "downwards": {"choices": [4, 2, 1]},
            "rate": {"choices": [0.5, 1, 2.5], "when": {"names": ["b", "c"]}},
            "constant": 3,
        },
        "recipe": {"epochs": {"choices": [1, 2, 3]}, "ema": {"choices": [True, False]}},
        "pool": {},
        "budgets": [],
    }
)


def test_scaling_standardizes_logarithms():
    statistics = np.exp(np.random.default_rng(0).normal(12, 2, (500, 3)))
    z = Scaling.of(statistics)(statistics)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(axis=0), 1, atol=1e-5)


def test_constant_statistics_become_zero():
    statistics = np.array([[7, 10], [7, 20], [7, 40]])
    scaling = Scaling.of(statistics)
    assert scaling.varies.tolist() == [False, True]
    assert scaling.std[0] == 1
    np.testing.assert_allclose(scaling(statistics)[:, 0], 0, atol=1e-6)


def test_small_statistics_are_raised_to_the_minimum():
    scaling = Scaling.of(np.array([[0.0], [100.0]]))
    assert (
        scaling(np.array([[0.0]]))
        == scaling(np.array([[MIN_STATISTIC]]))
        < scaling(np.array([[2 * MIN_STATISTIC]]))
    )


def test_statistics_that_differ_below_the_minimum_are_constant():
    assert not Scaling.of(np.array([[0.0], [MIN_STATISTIC / 2]])).varies.any()


def test_inputs_of_architecture_and_recipe_are_separate(world):
    inputs = Inputs.of(world.counter, world.pretrained.scaling, world.genes[:4])
    widths = {
        part: world.space.features(world.genes[:4], part).shape[1] for part in ("architecture", "recipe")
    }
    both = [inputs.architecture[:, : widths["architecture"]], inputs.recipe[:, : widths["recipe"]]]
    np.testing.assert_array_equal(np.concatenate(both, axis=1), world.space.features(world.genes[:4]))
    assert inputs.architecture.shape[1] == widths["architecture"] + 1  # the head's expansion: 2, 3, 4
    assert inputs.recipe.shape[1] == widths["recipe"]
    assert inputs.direct.shape == (4, len(world.counter.names) + inputs.recipe.shape[1])


def test_order_columns_are_those_of_three_or_more_ascending_numbers():
    """Names, two values, descending values, ranges (which have one column anyway) and constants have none."""
    features = {"stepped": 1, "names": 3, "width": 4, "two": 2, "downwards": 3, "rate": 3}
    ranks = torch.zeros(sum(features.values()), 2)
    ranks[4:8, 0] = torch.tensor([-1 / 2, -1 / 6, 1 / 6, 1 / 2])
    ranks[13:16, 1] = torch.tensor([-0.5, 0, 0.5])
    torch.testing.assert_close(order_columns(ORDERED, "architecture"), ranks)
    torch.testing.assert_close(order_columns(ORDERED, "recipe"), torch.tensor([[-0.5], [0], [0.5], [0], [0]]))


def test_ranks_of_ordered_fields_follow_the_features():
    """There is one column per field, -0.5 for the first value, 0.5 for the last, and 0 if the field is inactive."""
    genes = ORDERED.random(200, seed=0)

    class Nothing:
        space, names = ORDERED, ()

        def __call__(self, genes):
            return np.zeros((len(genes), 0))

    inputs = Inputs.of(Nothing(), Scaling.of(np.zeros((2, 0))), genes)
    fields = [field.name for field in ORDERED.fields]
    column = {name: fields.index(name) for name in ("width", "rate", "epochs")}
    active = ORDERED.active(genes)[:, column["rate"]]
    np.testing.assert_allclose(inputs.architecture[:, -2], genes[:, column["width"]] / 3 - 0.5, atol=1e-6)
    np.testing.assert_allclose(
        inputs.architecture[:, -1], np.where(active, genes[:, column["rate"]] / 2 - 0.5, 0), atol=1e-6
    )
    np.testing.assert_allclose(inputs.recipe[:, -1], genes[:, column["epochs"]] / 2 - 0.5, atol=1e-6)
    assert 0 < active.sum() < 200


@pytest.mark.parametrize("space", [ORDERED, load_space("tiny"), load_space("mobile")], ids=lambda s: s.name)
@pytest.mark.parametrize("part", ["architecture", "recipe"])
@pytest.mark.parametrize("first", [0, 5])
def test_folded_weights_give_the_same_products(space, part, first):
    generator = torch.Generator().manual_seed(0)
    features = torch.from_numpy(space.features(space.random(50, seed=1), part))
    order = order_columns(space, part)
    before = torch.randn(50, first, generator=generator)
    weight = torch.randn(3, first + sum(order.shape), 7, generator=generator)
    folded = fold_order(weight, order, first)
    assert folded.shape == (3, first + features.shape[1], 7)
    torch.testing.assert_close(
        torch.cat([before, features], dim=1) @ folded,
        torch.cat([before, features, features @ order], dim=1) @ weight,
        atol=1e-4,
        rtol=1e-5,
    )
    assert torch.equal(folded[:, :first], weight[:, :first])
