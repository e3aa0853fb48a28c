"""What every search is timed on: a space, a pool, two predictors and a bound."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.rivals.torch_evolution import TorchEvolution
from narsfast.cost import Budget, Counter
from narsfast.predictor import PredictorWeights, Process, pretrain
from narsfast.search import Evolved, Pool, evolve
from narsfast.search._surrogate_reference import predict_reference
from narsfast.space import Genes, load_space

POPULATIONS = (100, 1000)
GENERATIONS = 100
POOL = 2048
PROCESS_LABELS = 48
SIDES = ((768, 768, 768), (4096, 400, 400))
"""(m, n, k) of the matrix products whose best rate stands for sgemm's."""


@dataclass(frozen=True)
class Network:
    """Given weights, with what `evolve` asks of a predictor."""

    names: tuple[str, ...]
    arrays: PredictorWeights

    def weights(self) -> PredictorWeights:
        """Return the weights."""
        return self.arrays


class Case:
    """The space fbnetv3 with a pool, the default predictor fitted to made-up labels, and one bound on the MACs.

    Attributes:
        space: The space.
        counter: Its statistics.
        pool: `POOL` random candidates.
        default: The default predictor.
        process: The process fitted to `PROCESS_LABELS` labels.
        wide: A predictor with one ensemble member of three hidden layers, 400 wide.
        budgets: The space's own budgets.
        bound: The budget that all searches keep.
    """

    def __init__(self) -> None:
        self.space = load_space("fbnetv3")
        self.counter = Counter(self.space)
        genes = self.space.random(POOL, 1)
        self.pool = Pool(genes, self.counter(genes))
        macs, features = self.pool.statistics[:, 0], self.space.features(genes)
        slopes = np.random.default_rng(0).normal(0, 0.3, features.shape[1])
        labels = 70 + 3 * np.log(macs / 5e8) + features @ slopes
        fitted = pretrain(self.counter, genes, 0).fit(genes[:200], labels[:200], 0)
        self.default = Network(fitted.names, fitted.weights())
        few = slice(PROCESS_LABELS)
        self.process = Process.of(self.counter, genes).fit(genes[few], labels[few], 0)
        self.wide = self._wide(400, 3)
        self.budgets = [Budget(dict(bounds)) for bounds in self.space.budgets]
        self.bound = Budget({"macs": (0.0, 550e6)})

    def _wide(self, width: int, layers: int) -> Network:
        rng = np.random.default_rng(0)
        architecture, recipe = (
            self.space.features(self.pool.genes[:1], part).shape[1] for part in ("architecture", "recipe")
        )
        inputs, made = architecture, []
        for outputs in [width] * layers + [1]:
            inputs += (len(self.counter.names) + recipe) if outputs == 1 else 0
            weights = rng.standard_normal((1, inputs, outputs)) * np.sqrt(2 / inputs)
            made.append((weights.astype(np.float32), np.zeros((1, outputs), np.float32)))
            inputs = outputs
        mean, std = self.default.arrays.statistic_mean, self.default.arrays.statistic_std
        return Network(
            self.counter.names, PredictorWeights(mean, std, made[:-1], made[-1:], 70.0, 5.0, 1.0, 0.0)
        )

    def ours(
        self,
        surrogate: Network | Process,
        population: int,
        seed: int = 0,
        generations: int = GENERATIONS,
        caution: float = 0.0,
    ) -> Evolved:
        """Evolve under the bound with one child per parent, as the rival does."""
        return evolve(
            surrogate,
            self.counter,
            [self.bound],
            self.pool,
            self.pool.genes[:0],
            seed,
            population_size=population,
            num_random=population,
            children_per_parent=1,
            generations=generations,
            patience=generations,
            caution=caution,
        )[0]

    def family(self) -> list[Evolved]:
        """Evolve for the space's four budgets, 100 generations of 1,000 children each."""
        return evolve(
            self.default,
            self.counter,
            self.budgets,
            self.pool,
            self.pool.genes[:0],
            0,
            population_size=200,
            children_per_parent=5,
            patience=GENERATIONS,
        )

    def rival(self, network: Network) -> TorchEvolution:
        """Return the evolution in torch with the same predictor and bound."""
        return TorchEvolution(self.space, network.weights(), self.bound.bounds["macs"][1])

    def exact(self, genes: Genes) -> float:
        """Score one candidate by the default predictor, in float64 throughout."""
        arrays = self.default.arrays
        double = replace(
            arrays,
            encoder=[(weight.astype(np.float64), bias.astype(np.float64)) for weight, bias in arrays.encoder],
            head=[(weight.astype(np.float64), bias.astype(np.float64)) for weight, bias in arrays.head],
        )
        row = np.ascontiguousarray(genes, np.int16).reshape(1, -1)
        return float(predict_reference(self.space, double, row, self.counter(row).astype(float))[0][0])
