"""The Gaussian process, beside scikit-learn's and by its properties."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import kendalltau, multivariate_normal, norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

from narsfast.predictor import Noise, Process
from narsfast.predictor._inputs import Scaling
from narsfast.predictor._metric import Metric
from narsfast.search import TableCounter
from narsfast.space import Space

SPACE = Space.from_dict(
    {
        "name": "joint",
        "architecture": {
            "width": {"range": [4, 32, 4]},
            "kind": {"choices": ["a", "b", "c"]},
            "more": {"choices": ["x", "y"], "when": {"kind": ["b"]}},
        },
        "recipe": {"rate": {"choices": [0.01, 0.03, 0.1, 0.3]}, "decay": {"range": [0, 5]}},
    }
)
NAMES = ("macs", "depth")


def counter_of(space, names=NAMES):
    """Count made-up statistics, an additive table of every field."""
    rng = np.random.default_rng(0)
    table = rng.uniform(1, 9, (len(space.fields), int(space.sizes.max()), len(names)))
    return TableCounter(space, names, table)


def part_of(space, part):
    """Return the space with the fields of one part alone."""
    spec = space.to_dict()
    return Space.from_dict(
        {"name": part, **{p: spec[p] if p == part else {} for p in ("architecture", "recipe")}}
    )


def labels_of(counter, genes, noise=0.0):
    """Return labels that rise with MACs and have the best rate in the middle."""
    macs = counter(genes)[:, 0] if counter.names else np.zeros(len(genes))
    rate = 2 * np.abs(genes[:, -2] - 1.5)
    return 70 + 0.4 * macs - rate + np.random.default_rng(1).normal(0, max(noise, 1e-9), len(genes))


@pytest.fixture(scope="module")
def world():
    counter = counter_of(SPACE)
    genes = np.unique(SPACE.random(400, 3), axis=0)
    genes = np.random.default_rng(0).permutation(genes)
    return SimpleNamespace(
        counter=counter,
        genes=genes,
        labels=labels_of(counter, genes, 0.5),
        process=Process.of(counter, genes),
    )


# Twins


class Columns(DotProduct):
    """The product of the last columns."""

    def __init__(self, first, sigma_0=1.0, sigma_0_bounds="fixed"):
        super().__init__(sigma_0, sigma_0_bounds)
        self.first = first

    def __call__(self, X, Y=None, eval_gradient=False):  # noqa: N803, as scikit-learn calls it
        return super().__call__(X[:, self.first :], None if Y is None else Y[:, self.first :])

    def diag(self, X):  # noqa: N803
        return super().diag(X[:, self.first :])


def points(space, genes):
    """Return columns of which the mean squared distance of two random values of a field is 2, and the field of each."""
    active, columns, parts = space.active(genes), [], []
    for number, field in enumerate(space.fields):
        count, values = len(field.values), genes[:, number]
        hot = np.eye(count)[values] * np.sqrt(count / (count - 1)) * active[:, [number]]
        line = (values / (count - 1) - 0.5)[:, None] * active[:, [number]]
        line = line * np.sqrt(12 * (count - 1) / (count + 1))
        if field.kind == "range":
            mine = line
        elif isinstance(field.values[0], float):
            mine = np.hstack([np.sqrt(0.1) * hot, np.sqrt(0.9) * line])
        else:
            mine = hot
        columns.append(mine)
        parts += [field.part] * mine.shape[1]
    return np.hstack(columns), np.array(parts)


def twin(space, counter, genes, labels, noise):
    """Fit scikit-learn's process with the hyperparameters of few labels; return it and its inputs, in given units."""
    columns, parts = points(space, genes)
    scaling = Scaling.of(counter(genes))
    fields = {part: sum(field.part == part for field in space.fields) for part in ("architecture", "recipe")}

    def inputs(candidates):
        z = scaling(counter(candidates)).astype(float)
        return np.hstack([points(space, candidates)[0], z / np.where(scaling.varies, 1, np.inf)])

    kernel = Columns(columns.shape[1], sigma_0=0.0)
    kernel = ConstantKernel(0.3**2, "fixed") * kernel + ConstantKernel(1.0, "fixed")
    for part, deviation, length in (("architecture", 0.3, 1.5), ("recipe", 0.5, 1.0)):
        if not fields[part]:
            continue
        lengths = np.where(parts == part, length * np.sqrt(fields[part]), 1e9)
        lengths = np.concatenate([lengths, np.full(len(counter.names), 1e9)])
        kernel += ConstantKernel((deviation if all(fields.values()) else 0.6) ** 2, "fixed") * RBF(
            lengths, "fixed"
        )
    model = GaussianProcessRegressor(kernel, alpha=noise**2, optimizer=None)

    def prior(candidates):
        z = scaling(counter(candidates)).astype(float) * scaling.varies
        return z @ np.array([0.4 if name == "macs" else 0.0 for name in counter.names])

    return model, inputs, prior


KINDS = {
    "joint": (SPACE, NAMES),
    "no statistics": (SPACE, ()),
    "no architecture": (part_of(SPACE, "recipe"), NAMES),
    "no recipe": (part_of(SPACE, "architecture"), NAMES),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 5, 20])
def test_predictions_equal_those_of_scikit_learn(kind, count):
    space, names = KINDS[kind]
    counter = counter_of(space, names)
    genes = space.random(120, 2)
    process = Process.of(counter, genes, Noise(300))
    labels = labels_of(counter, genes, 1.0)[:count]
    fitted = process.fit(genes[:count], labels, 0)
    learned = fitted.posterior
    targets = (labels - learned.center) / learned.scale
    slope = np.where(targets < -1, -targets, 1)
    targets = np.where(targets < -1, -1 - np.log(slope), targets)
    share = (labels / 100 * 300 + 1) / 302
    noise = np.sqrt(1.0 + 0.6 * 1e4 * share * (1 - share) / 300) / (learned.scale * slope)
    model, inputs, prior = twin(space, counter, genes, labels, noise)
    model.fit(inputs(genes[:count]), targets - prior(genes[:count]))
    mean, covariance = model.predict(inputs(genes), return_cov=True)
    mean = mean + prior(genes)
    slope = np.exp(np.maximum(-1 - mean, 0))
    mean = learned.center + learned.scale * np.where(mean < -1, -slope, mean)
    covariance = covariance * learned.scale**2 * slope[:, None] * slope
    found, joint = fitted.joint(genes)
    np.testing.assert_allclose(found, mean, rtol=1e-6)
    np.testing.assert_allclose(joint, covariance, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        fitted.predict(genes), (mean, np.sqrt(np.diag(covariance))), rtol=1e-4, atol=1e-4
    )


def penalized_density(process, learned, logarithms):
    """Return the log density of the labels under plain numpy, with the priors, but for a constant."""
    slope, noise, *scalars = np.exp(logarithms[:6])
    relevances = np.split(np.exp(logarithms[6:]), [3])
    z = learned.inputs.z.numpy()
    covariance = 1 + slope**2 * z @ z.T
    for part, own in enumerate(relevances):
        metric = Metric.of(process.space, ("architecture", "recipe")[part])
        squares = metric.distances(learned.inputs.codes, learned.inputs.codes)
        mean = np.mean([weight * square for weight, square in zip(own, squares, strict=True)], axis=0)
        covariance += scalars[2 * part] ** 2 * np.exp(-mean / (2 * scalars[2 * part + 1] ** 2))
    assumed = learned.noise.numpy() / learned.hyper.noise
    covariance += np.diag((noise * assumed) ** 2)
    residual = learned.targets.numpy() - 0.4 * z[:, 0]
    medians = np.log([0.3, 1, 0.3, 1.5, 0.5, 1.0, *np.ones(len(logarithms) - 6)])
    spread = np.array(
        [0.5, 0.7 if process.noise is None else 0.2, *[0.5] * 4, *[0.7] * (len(logarithms) - 6)]
    )
    prior = norm.logpdf(logarithms, medians, spread).sum()
    return multivariate_normal.logpdf(residual, np.zeros(len(residual)), covariance) + prior


@pytest.mark.parametrize("noise", [None, Noise(300)])
def test_fitted_hyperparameters_are_most_probable(world, noise):
    process = Process.of(world.counter, world.genes, noise)
    learned = process.fit(world.genes[:40], world.labels[:40], 0).posterior
    best = learned.hyper.logarithms.numpy()
    density = penalized_density(process, learned, best)
    for number in range(len(best)):
        for step in (-0.1, 0.1):
            moved = best.copy()
            moved[number] += step
            assert penalized_density(process, learned, moved) < density


def test_few_labels_leave_the_hyperparameters_where_they_are(world):
    known = Process.of(world.counter, world.genes, Noise(300)).fit(world.genes[:23], world.labels[:23], 0)
    hyper = known.posterior.hyper
    assert hyper.architecture[:2] == (pytest.approx(0.3), pytest.approx(1.5))
    assert hyper.recipe[:2] == (pytest.approx(0.5), pytest.approx(1.0))
    assert hyper.noise == pytest.approx(1)
    unknown = world.process.fit(world.genes[:23], world.labels[:23], 0).posterior.hyper
    assert unknown.noise != pytest.approx(1)
    assert unknown.recipe[:2] == (pytest.approx(0.5), pytest.approx(1.0))


def test_leaving_one_out_equals_fits_without_it(world):
    """With hyperparameters and scale of all labels."""
    process = Process.of(world.counter, world.genes, Noise(400))
    genes, labels = world.genes[:12], world.labels[:12]
    fitted = process.fit(genes, labels, 0)
    found = fitted.leave_one_out()
    learned = fitted.posterior
    order = np.argsort(learned.places)
    covariance = (learned.factor @ learned.factor.T).numpy()
    noise = learned.noise.numpy() ** 2
    z = learned.inputs.z.numpy()
    prior = 0.4 * z[:, 0]
    residual = learned.targets.numpy() - prior
    for row in range(12):
        others = np.arange(12) != row
        gain = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, row])
        mean = prior[row] + gain @ residual[others]
        variance = covariance[row, row] - gain @ covariance[others, row]
        place = order[row]
        slope = math.exp(max(-1 - mean, 0))
        percent = learned.center + learned.scale * (-slope if mean < -1 else mean)
        assert found.mean[place] == pytest.approx(percent)
        assert found.std[place] == pytest.approx(learned.scale * slope * math.sqrt(variance - noise[row]))
        raw = (labels[place] - learned.center) / learned.scale
        target = raw if raw >= -1 else -1 - math.log(-raw)
        density = norm.logpdf(target, mean, math.sqrt(variance)) - math.log(learned.scale * max(1, -raw))
        assert found.log_density[place] == pytest.approx(density)


# Properties


@pytest.mark.parametrize("count", [9, 30])
def test_order_of_the_labels_changes_nothing(world, count):
    genes, labels = world.genes[:count], world.labels[:count]
    order = np.random.default_rng(2).permutation(count)
    one, other = world.process.fit(genes, labels, 0), world.process.fit(genes[order], labels[order], 1)
    assert np.array_equal(one.predict(world.genes), other.predict(world.genes))
    assert np.array_equal(one.leave_one_out().mean[order], other.leave_one_out().mean)


def test_another_label_of_a_candidate_narrows_its_accuracy(world):
    process = Process.of(world.counter, world.genes, Noise(200))
    genes, labels = world.genes[:10], world.labels[:10]
    again = process.fit(np.repeat(genes, 3, axis=0), np.repeat(labels, 3), 0)
    once = process.fit(genes, labels, 0)
    assert (again.predict(genes)[1] < 0.8 * once.predict(genes)[1]).all()
    mean, covariance = again.joint(np.repeat(genes[:1], 2, axis=0))
    assert mean[0] == mean[1]
    assert covariance[0, 0] == pytest.approx(covariance[0, 1])


def test_deviation_grows_with_the_distance(world):
    genes = SPACE.canonical(np.array([[0, 0, 0, 0, 0]] * 6))
    steps = np.repeat(genes[:1], 6, axis=0)
    steps[:, 4] = np.arange(6)
    nothing = counter_of(SPACE, ())
    fitted = Process.of(nothing, world.genes).fit(steps[:1], [70.0], 0)
    mean, std = fitted.predict(steps)
    assert (np.diff(std) > 0).all()
    assert mean[0] == pytest.approx(70)


def test_far_from_labels_the_prior_counts(world):
    """With one label of the smallest network, larger ones are thought better, and less is known of them."""
    macs = world.counter(world.genes)[:, 0]
    order = np.argsort(macs)
    fitted = world.process.fit(world.genes[order[:1]], [60.0], 0)
    mean, std = fitted.predict(world.genes[order])
    assert kendalltau(mean, macs[order]).statistic > 0.8
    assert std[-1] > 1.5 * std[1]


@pytest.mark.parametrize("noise", [None, Noise(100)])
def test_equal_labels_are_predicted_everywhere(world, noise):
    no_statistics = Process.of(counter_of(SPACE, ()), world.genes, noise)
    mean, std = no_statistics.fit(world.genes[:30], np.full(30, 55.0), 0).predict(world.genes)
    np.testing.assert_allclose(mean, 55, atol=1e-6)
    assert (std > 0).all()
    assert np.isfinite(
        no_statistics.fit(world.genes[:30], np.full(30, 55.0), 0).leave_one_out().log_density
    ).all()


def test_labels_of_failed_trials_do_not_hide_the_others(world):
    """A third of the trials at chance would otherwise widen the scale tenfold."""
    rng = np.random.default_rng(4)
    genes, labels = world.genes[:36], world.labels[:36].copy()
    plain = world.process.fit(genes, labels, 0)
    labels[rng.permutation(36)[:12]] = 10.0
    fitted = world.process.fit(genes, labels, 0)
    assert fitted.posterior.scale < 4 * plain.posterior.scale
    assert float(fitted.posterior.targets.min()) > -6


def test_unknown_candidates_are_ranked_well(world):
    truth = labels_of(world.counter, world.genes)
    taus = []
    for count in (6, 12, 24, 48, 96):
        scores = world.process.fit(world.genes[:count], world.labels[:count], 0).scores(world.genes[100:])
        taus.append(kendalltau(scores, truth[100:]).statistic)
    assert taus[0] > 0.3
    assert taus[-1] > max(taus[0], 0.9)


def test_noise_is_that_of_seeds_and_images():
    assert Noise(10**9, 2.0).variance(np.array([50.0, 90.0])).tolist() == pytest.approx([4, 4])
    variance = Noise(100, 0.0).variance(np.array([50.0, 100.0, 120.0, -3.0]))
    assert variance[0] == pytest.approx(0.6 * 25)
    assert 0 < variance[1] == variance[2] < 1
    assert variance[3] == pytest.approx(variance[1])


def test_many_labels_take_their_share_for_hyperparameters(world):
    """More than 256 labels: all count in the prediction."""
    count = 300
    fitted = world.process.fit(world.genes[:count], world.labels[:count], 0)
    assert len(fitted.posterior.targets) == count
    assert np.isfinite(fitted.predict(world.genes)).all()


def test_what_cannot_be_learned_is_refused(world):
    for genes, labels in ((world.genes[:0], []), (world.genes[:2], [1.0]), (world.genes[:1], [np.nan])):
        with pytest.raises(ValueError, match="one finite label per candidate"):
            world.process.fit(genes, labels, 0)
    for question in (world.process.scores, world.process.joint):
        with pytest.raises(RuntimeError, match="call fit first"):
            question(world.genes)
    with pytest.raises(RuntimeError, match="call fit first"):
        world.process.leave_one_out()


def test_of_many_labels_the_better_half_and_some_others_are_learned(world, monkeypatch):
    monkeypatch.setattr("narsfast.predictor._process.MAX_LABELS", 40)
    genes, labels = world.genes[:120], world.labels[:120]
    fitted = world.process.fit(genes, labels, 0)
    learned = {row.tobytes() for row in fitted.posterior.inputs.codes}
    keys = [row.tobytes() for row in world.process.fit(genes, labels, 0)._inputs(genes).codes]
    assert len(learned) == 40
    assert all(keys[place] in learned for place in np.argsort(-labels)[:20])
    order = np.random.default_rng(0).permutation(120)
    again = world.process.fit(genes[order], labels[order], 0)
    np.testing.assert_array_equal(again.scores(world.genes), fitted.scores(world.genes))
    with pytest.raises(RuntimeError, match="some of the labels"):
        fitted.leave_one_out()
