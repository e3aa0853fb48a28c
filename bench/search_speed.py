"""How many candidates a second does the search handle on one core?

    python -m bench.search_speed [--quick] [--json FILE]

Scores of the predictor, statistics, and evolution end to end, beside a plain vectorised torch loop that has no
duplicate removal, no repair and one linear constraint. One thread, all in turns, medians. For the scores torch is
given the features, which ours makes of the genes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from bench import harness
from narsfast import _native
from narsfast.cost import Budget, Counter
from narsfast.predictor import PredictorWeights, Statistics
from narsfast.search import Pool, TableCounter, evolve
from narsfast.space import Space, load_space

BATCH = 16384
NETS = {"2x64": (64, 64), "3x400": (400, 400, 400)}
EVOLUTIONS = {480: 100, 6000: 10}  # children a generation: generations


class Net:
    """A predictor of one member whose layers are drawn at random."""

    def __init__(self, counter: Statistics, widths: tuple[int, ...]) -> None:
        self.names = counter.names
        space = counter.space
        genes = space.random(1000, 0)
        logs = np.log(np.maximum(np.asarray(counter(genes), np.float64), 1))
        rng = np.random.default_rng(0)
        # All features enter the first layer of the encoder or, if they are the recipe's, of the head; the widths
        # are the encoder's, so that the multiply-adds are those of the plain network.
        layers = []
        inputs = space.features(genes, "architecture").shape[1]
        for width in widths:
            layers.append(_layer(rng, inputs, width))
            inputs = width
        inputs += len(self.names) + space.features(genes, "recipe").shape[1]
        self._weights = PredictorWeights(
            statistic_mean=logs.mean(axis=0).astype(np.float32),
            statistic_std=np.maximum(logs.std(axis=0), 1e-3).astype(np.float32),
            encoder=layers,
            head=[_layer(rng, inputs, 1)],
            output_mean=70.0,
            output_scale=5.0,
        )

    def weights(self) -> PredictorWeights:
        return self._weights


def _layer(rng: np.random.Generator, inputs: int, outputs: int):
    weights = rng.standard_normal((1, inputs, outputs)) * np.sqrt(2 / inputs)
    return weights.astype(np.float32), np.zeros((1, outputs), np.float32)


def torch_net(inputs: int, widths: tuple[int, ...]) -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for width in widths:
        layers += [torch.nn.Linear(inputs, width), torch.nn.ReLU()]
        inputs = width
    return torch.nn.Sequential(*layers, torch.nn.Linear(inputs, 1))


def linear_case() -> TableCounter:
    """30 fields of 5 values and one linear cost: what a plain torch loop can express."""
    fields = {f"a{number}": {"range": [0, 4]} for number in range(30)}
    space = Space.from_dict({"name": "linear", "architecture": fields, "recipe": {}})
    slope = np.random.default_rng(0).uniform(1, 10, 30)
    return TableCounter(space, ("cost",), (slope[:, None] * np.arange(5))[..., None])


def torch_evolution(widths: tuple[int, ...], children: int, generations: int) -> Callable[[], int]:
    """The plain loop: keep the best sixth, cross two parents, mutate, forbid what costs too much."""
    keep = children // 6
    net = torch_net(30, widths)
    slope = torch.tensor(np.random.default_rng(0).uniform(1, 10, 30), dtype=torch.float32)
    limit = 0.4 * 4 * slope.sum()

    def score(genes: torch.Tensor) -> torch.Tensor:
        scores = net(genes / 4)[:, 0]
        return torch.where(genes @ slope <= limit, scores, -torch.inf)

    @torch.inference_mode()
    def run() -> int:
        torch.manual_seed(0)
        genes = torch.randint(0, 5, (keep, 30)).float()
        scores = score(genes)
        for _ in range(generations):
            mothers, fathers = genes[torch.randint(0, keep, (2, children))]
            made = torch.where(torch.rand(children, 30) < 0.5, mothers, fathers)
            fresh = torch.randint(0, 5, (children, 30)).float()
            made = torch.where(torch.rand(children, 30) < 1 / 30, fresh, made)
            genes, scores = torch.cat([genes, made]), torch.cat([scores, score(made)])
            scores, best = scores.topk(keep)
            genes = genes[best]
        return children * generations

    return run


def native_evolution(
    counter: Statistics, net: Net, budget_share: float, keep: int, generations: int
) -> Callable[[], int]:
    """Ours: every constraint, repair, duplicate removal; counts children that were new, inside and scored."""
    genes = np.unique(counter.space.random(2000, 1), axis=0)
    pool = Pool(genes, counter(genes))
    bound = float(np.quantile(np.asarray(pool.statistics)[:, 0], budget_share))
    budget = Budget({counter.names[0]: (0.0, bound)})

    def run() -> int:
        result = evolve(
            net,
            counter,
            [budget],
            pool,
            genes[:0],
            0,
            keep=keep,
            generations=generations,
            patience=generations,
        )[0]
        return result.scored

    return run


def all_work() -> dict[str, Callable[[], int]]:
    """Everything timed, by name: a call does it once and returns how many candidates it handled."""
    mobile = Counter(load_space("mobile"))
    linear = linear_case()
    genes = mobile.space.random(BATCH, 2)
    values = mobile(genes).astype(np.float64)
    work: dict[str, Callable[[], int]] = {"statistics, mobile, MBConv rows": lambda: len(mobile(genes))}
    for name, widths in NETS.items():
        native = _native.Predictor(mobile.space.tables(), Net(mobile, widths).weights())
        plain = torch_net(native_inputs(mobile), widths)
        features = torch.rand(BATCH, native_inputs(mobile))
        work[f"scores, mobile, {name}, ours"] = lambda n=native: len(n.score(genes, values)[0])
        work[f"scores, mobile, {name}, torch without features"] = _torch_scores(plain, features)
        for children, generations in EVOLUTIONS.items():
            what = f"evolution, linear, {name}, {children} children"
            ours = native_evolution(linear, Net(linear, widths), 0.4, children // 6, generations)
            work[f"{what}, ours"] = ours
            work[f"{what}, torch loop"] = torch_evolution(widths, children, generations)
        ours = native_evolution(mobile, Net(mobile, widths), 0.3, 80, 100)
        work[f"evolution, mobile, {name}, 480 children, ours"] = ours
    return work


def figures_of(rates: Mapping[str, float]) -> dict[str, float]:
    """Rates of ours and their ratios to torch's."""
    figures = {"statistics_per_second": rates["statistics, mobile, MBConv rows"]}
    for name in NETS:
        scores = rates[f"scores, mobile, {name}, ours"]
        figures[f"scores_{name}_per_second"] = scores
        figures[f"scores_{name}_vs_torch"] = scores / rates[f"scores, mobile, {name}, torch without features"]
        evolution = rates[f"evolution, mobile, {name}, 480 children, ours"]
        figures[f"evolution_{name}_per_second"] = evolution
        for children in EVOLUTIONS:
            what = f"evolution, linear, {name}, {children} children"
            ratio = rates[f"{what}, ours"] / rates[f"{what}, torch loop"]
            figures[f"evolution_{name}_{children}_vs_torch_loop"] = ratio
    return figures


def native_inputs(counter: Counter) -> int:
    return counter.space.features(counter.space.random(1, 0)).shape[1] + len(counter.names)


def _torch_scores(net: torch.nn.Module, features: torch.Tensor) -> Callable[[], int]:
    @torch.inference_mode()
    def run() -> int:
        return len(net(features))

    return run


def main() -> None:
    options = harness.arguments(__doc__)
    torch.set_num_threads(1)
    work = all_work()
    handled = {name: run() for name, run in work.items()}
    seconds = harness.take_turns(work, 3 if options.quick else 7)
    rates = {name: handled[name] / seconds[name] for name in work}
    rows = [{"what": name, "candidates_per_second": round(rate)} for name, rate in rates.items()]
    for row in rows:
        print(f"{row['what']:60}{row['candidates_per_second']:>14,}")
    harness.report(figures_of(rates), rows, options.json)


if __name__ == "__main__":
    main()
