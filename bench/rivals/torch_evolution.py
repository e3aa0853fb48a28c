"""A plain vectorized evolution in torch: what a competent user writes in an afternoon, with our predictor's weights.

Everything is a batched tensor operation: statistics in closed form over (candidates, stages), one-hot features, the
first layer of all ensemble members in one product, repair, removal of duplicates by a hash, selection by topk. Only for
spaces of MBConv stages.
"""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from narsfast.predictor import PredictorWeights
from narsfast.space import Space

HEADER = ("resolution", "stem", "head_expansion", "head_features")
STAGE = ("kernel", "kernel_rest", "expansion", "expansion_rest", "channels", "depth", "stride", "se")


def round_width(width: Tensor) -> Tensor:
    """Round widths to multiples of 8, as MobileNet does."""
    nearest = torch.clamp(torch.floor((width + 4) / 8) * 8, min=8)
    return torch.where(20 * nearest < 19 * width, nearest + 8, nearest)


class TorchStatistics:
    """The seven statistics of `narsfast.cost.Counter` in closed form."""

    def __init__(self, space: Space, classes: int = 1000) -> None:
        tables = space.tables()
        self.classes = classes
        self.numbers = torch.from_numpy(tables.numbers).double()
        self.offsets = torch.arange(len(space.fields)) * tables.numbers.shape[1]
        self.header = torch.from_numpy(tables.header_columns[:4]).long()
        self.stages = torch.from_numpy(tables.stage_columns[:, :8]).long()

    def __call__(self, genes: Tensor) -> Tensor:
        """Count genes (n, F) int64 to statistics (n, 7) float64."""
        values = self.numbers.view(-1)[genes + self.offsets]
        resolution, stem, head_expansion, head_features = values[:, self.header].unbind(1)
        stage = dict(zip(STAGE, values[:, self.stages].unbind(2), strict=True))
        depth, channels = stage["depth"], stage["channels"]
        # Halving and rounding up several times equals one division rounded up.
        side0 = torch.ceil(resolution / 2)
        out_side = torch.ceil(side0[:, None] / stage["stride"].cumprod(1))
        in_side = torch.cat([side0[:, None], out_side[:, :-1]], 1)
        before = torch.cat([stem[:, None], channels[:, :-1]], 1)

        # (n, S, 2): the first block of each stage, and the others, which are all alike.
        def pair(first: Tensor, rest: Tensor) -> Tensor:
            return torch.stack([first, rest], 2)

        kernel = pair(stage["kernel"], stage["kernel_rest"])
        expansion = pair(stage["expansion"], stage["expansion_rest"])
        inputs, outputs = pair(before, channels), channels[..., None]
        large, small = pair(in_side, out_side) ** 2, out_side[..., None] ** 2
        times = pair((depth > 0).double(), (depth - 1).clamp(min=0))
        se = stage["se"][..., None]
        middle = round_width(inputs * expansion)
        expands = (middle != inputs).double()
        squeezed = round_width(torch.floor(middle / (4 * expansion))) * se
        shortcut = ((inputs == outputs) & (large == small)).double() * inputs * large
        taps = middle * kernel**2
        expand, project, excite = expands * inputs * middle, middle * outputs, 2 * middle * squeezed
        block_weights = expand + taps + excite + project
        block_macs = expand * large + (taps + project) * small + excite
        block_others = 2 * (expands * middle + middle + outputs) + se * (squeezed + middle)
        block_elements = expands * middle * large + (middle + outputs) * small + squeezed + se * middle
        peaks = torch.stack(
            [
                expands * (inputs + middle) * large,
                middle * (large + small) + expands * shortcut,
                (middle + outputs) * small + shortcut,
            ]
        )
        middle_head, area = round_width(channels[:, -1] * head_expansion), out_side[:, -1] ** 2
        stem_weights, area0 = 27 * stem, side0**2
        head_conv, features = channels[:, -1] * middle_head, middle_head * head_features
        classifier = head_features * self.classes

        def total(of_block: Tensor) -> Tensor:
            return (of_block * times).sum((1, 2))

        macs = total(block_macs) + stem_weights * area0 + head_conv * area + features + classifier
        pooled = total(se * middle * small) + middle_head * area + head_features
        weights = total(block_weights) + stem_weights + head_conv + features + classifier
        others = total(block_others) + 2 * (stem + middle_head) + self.classes
        elements = total(block_elements) + stem * area0 + middle_head * area + head_features
        peak = torch.maximum((peaks * (times > 0)).amax((0, 2, 3)), 3 * resolution**2 + stem * area0)
        peak = torch.maximum(peak, (channels[:, -1] + middle_head) * area)
        layers = total(2 + expands + 2 * se) + 3
        return torch.stack(
            [macs, macs + pooled, weights + others, weights, elements, 4 * peak, layers], dim=1
        )


class TorchScores:
    """The whole predictor."""

    def __init__(self, space: Space, weights: PredictorWeights) -> None:
        self.columns = _feature_columns(space)
        self.mean = torch.from_numpy(weights.statistic_mean).double()
        self.std = torch.from_numpy(np.where(weights.statistic_std == 0, 1, weights.statistic_std)).double()
        encoder, head = (
            [(torch.from_numpy(w), torch.from_numpy(b)[:, None]) for w, b in part]
            for part in (weights.encoder, weights.head)
        )
        self.members = len(head[0][0])
        # The first layer of the encoder for all ensemble members at once.
        first, bias = encoder[0]
        self.first = first.permute(1, 0, 2).reshape(first.shape[1], -1).contiguous()
        self.first_bias = bias.reshape(-1)
        self.layers = encoder[1:]
        self.embedding = encoder[-1][0].shape[2]
        # The part of the head whose inputs all ensemble members share, likewise.
        weight, bias = head[0]
        shared = weight[:, self.embedding :]
        self.head_embedding = weight[:, : self.embedding].contiguous()
        self.head_shared = shared.permute(1, 0, 2).reshape(shared.shape[1], -1).contiguous()
        self.head_bias = bias.reshape(-1)
        self.head = head[1:]
        self.output = (weights.output_mean, weights.output_scale)

    def features(self, marked: Tensor, part: str) -> Tensor:
        """Make features (n, D) of a part; inactive genes are marked by -1."""
        columns, wanted, scale = self.columns[part]
        picked = marked[:, columns]
        return torch.where(scale > 0, picked.clamp(min=0) * scale, (picked == wanted).float())

    def __call__(self, marked: Tensor, statistics: Tensor) -> Tensor:
        """Score genes (n, F) int64, inactive ones marked by -1, with statistics (n, S): (n,) percent."""
        count = len(marked)
        z = ((torch.log(statistics.clamp(min=1)) - self.mean) / self.std).float()
        hidden = torch.addmm(self.first_bias, self.features(marked, "architecture"), self.first).relu_()
        hidden = hidden.view(count, self.members, -1).transpose(0, 1)
        for weight, bias in self.layers:
            hidden = torch.baddbmm(bias, hidden, weight).relu_()
        inputs = torch.cat([z, self.features(marked, "recipe")], 1)
        shared = torch.addmm(self.head_bias, inputs, self.head_shared).view(count, self.members, -1)
        hidden = torch.baddbmm(shared.transpose(0, 1), hidden, self.head_embedding)
        for weight, bias in self.head:
            hidden = torch.baddbmm(bias, hidden.relu_(), weight)
        output = hidden[..., 0].mean(0)
        mean, scale = self.output
        return mean + scale * torch.where(output < -1, -torch.exp(-1 - output), output)


def _feature_columns(space: Space) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """List for each feature of a part its field, the value that it marks, and the factor of a range (else 0)."""
    found: dict[str, list[tuple[int, int, float]]] = {"architecture": [], "recipe": []}
    for column, field in enumerate(space.fields):
        if field.kind == "range":
            found[field.part].append((column, -2, 1 / max(len(field.values) - 1, 1)))
        elif field.kind == "categorical":
            found[field.part] += [(column, value, 0.0) for value in range(len(field.values))]
    return {
        part: (
            torch.tensor([row[0] for row in rows], dtype=torch.long),
            torch.tensor([row[1] for row in rows], dtype=torch.long),
            torch.tensor([row[2] for row in rows], dtype=torch.float32),
        )
        for part, rows in found.items()
    }


class TorchEvolution:
    """Evolution under one upper bound on the first statistic (MACs)."""

    def __init__(self, space: Space, weights: PredictorWeights, bound: float) -> None:
        self.count = TorchStatistics(space)
        self.score = TorchScores(space, weights)
        self.bound = bound
        self.sizes = torch.from_numpy(space.sizes).long()
        self.searched = int((space.sizes > 1).sum())
        self.architecture = torch.zeros(len(space.fields), dtype=torch.bool)
        self.architecture[torch.from_numpy(space.architecture_fields)] = True
        tables = space.tables()
        offsets = tables.condition_offsets
        self.conditions = [
            (f, [(int(tables.condition_parents[c]), int(tables.condition_masks[c])) for c in range(a, b)])
            for f, (a, b) in enumerate(pairwise(offsets))
            if b > a
        ]

    def canonical(self, genes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the genes with inactive ones set to 0, and the same with -1 there."""
        marked = genes.clone()
        for field, conditions in self.conditions:
            holds = torch.zeros(len(genes), dtype=torch.bool)
            for parent, mask in conditions:
                holds |= (mask >> marked[:, parent].clamp(min=0)) & (marked[:, parent] >= 0) == 1
            marked[:, field] = torch.where(holds, marked[:, field], -1)
        return marked.clamp(min=0), marked

    def repaired(self, children: Tensor, parents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give children outside the bound half of their parents' architecture back, then all of it.

        Returns:
            Genes, the same with inactive ones marked by -1, and statistics.
        """
        genes, marked = self.canonical(children)
        statistics = self.count(genes)
        for share in (0.5, 1.0):
            outside = torch.nonzero(statistics[:, 0] > self.bound)[:, 0]
            if not len(outside):
                break
            back = self.architecture & (torch.rand(len(outside), len(self.sizes)) < share)
            genes[outside], marked[outside] = self.canonical(
                torch.where(back, parents[outside], genes[outside])
            )
            statistics[outside] = self.count(genes[outside])
        return genes, marked, statistics

    @torch.inference_mode()
    def evaluate(self, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and MACs, (n,) each, of genes (n, F) that need not be canonical."""
        canonical, marked = self.canonical(torch.from_numpy(genes.astype(np.int64)))
        statistics = self.count(canonical)
        return self.score(marked, statistics).numpy(), statistics[:, 0].numpy()

    @torch.inference_mode()
    def run(
        self, start: Tensor, population_size: int, generations: int, seed: int = 0, seconds: float = np.inf
    ) -> tuple[Tensor, int]:
        """Evolve a start (n, F) for so many generations or seconds, whichever ends first.

        Returns:
            The best candidates (population_size, F), best first, and how many children were scored.
        """
        begin = time.perf_counter()
        torch.manual_seed(seed)
        genes, marked = self.canonical(start)
        statistics = self.count(genes)
        inside = statistics[:, 0] <= self.bound
        genes = genes[inside]
        scores = self.score(marked[inside], statistics[inside])
        scores, best = scores.topk(min(population_size, len(genes)))
        genes = genes[best]
        mixer = torch.randint(1, 2**62, (len(self.sizes),))
        num_scored = 0
        for _ in range(generations):
            if time.perf_counter() - begin > seconds:
                break
            mates = genes[torch.randint(len(genes), (len(genes),))]
            crossed = torch.rand(genes.shape) < 0.5 * torch.rand(len(genes), 1)
            children = torch.where(crossed, mates, genes)
            mutated = torch.rand(genes.shape) < 2 / self.searched
            other = (torch.rand(genes.shape) * self.sizes).long()
            made, made_marked, statistics = self.repaired(torch.where(mutated, other, children), genes)
            made_scores = self.score(made_marked, statistics)
            num_scored += len(made)
            genes, scores = torch.cat([genes, made]), torch.cat([scores, made_scores])
            keys, order = (genes * mixer).sum(1).sort(stable=True)
            duplicate = torch.zeros(len(genes), dtype=torch.bool)
            duplicate[order[1:]] = keys[1:] == keys[:-1]
            scores, best = scores.masked_fill(duplicate, -torch.inf).topk(min(population_size, len(genes)))
            genes = genes[best]
        return genes, num_scored
