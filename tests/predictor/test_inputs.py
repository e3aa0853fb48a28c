import numpy as np

from narsfast.predictor._inputs import Inputs, Scaling


def test_logarithms_are_standardised():
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


def test_statistics_below_one_count_as_one():
    scaling = Scaling.of(np.array([[0.0], [100.0]]))
    assert scaling(np.array([[0.0]])) == scaling(np.array([[1.0]])) < scaling(np.array([[2.0]]))


def test_statistics_that_differ_only_below_one_are_constant():
    assert not Scaling.of(np.array([[0.0], [0.5]])).varies.any()


def test_parts_are_kept_apart(world):
    inputs = Inputs.of(world.counter, world.pretrained.scaling, world.genes[:4])
    both = np.concatenate([inputs.architecture, inputs.recipe], axis=1)
    np.testing.assert_array_equal(both, world.space.features(world.genes[:4]))
    assert inputs.beside.shape == (4, len(world.counter.names) + inputs.recipe.shape[1])
