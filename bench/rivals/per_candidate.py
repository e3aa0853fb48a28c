"""An evolution in Python that makes and checks one candidate after the other, as once-for-all has it.

Scores and statistics are the vectorized ones of the evolution in torch; only the search differs.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from bench.rivals.torch_evolution import TorchEvolution

PARENT_SHARE = 4
"""One of so many becomes a parent."""
MUTATION = 0.1
"""Chance of each field of a mutated child."""


def per_candidate(rival: TorchEvolution, population: int, generations: int) -> int:
    """Mutate half of the children and cross the others, each alone until it is inside; return how many were scored."""
    generator = random.Random(0)
    sizes = rival.sizes.tolist()

    def inside(make: Callable[[], list[int]]) -> list[int]:
        while True:
            genes = make()
            if rival.evaluate(np.array([genes]))[1][0] <= rival.bound:
                return genes

    def fresh() -> list[int]:
        return [generator.randrange(size) for size in sizes]

    def mutated(parent: list[int]) -> list[int]:
        return [
            generator.randrange(size) if generator.random() < MUTATION else gene
            for gene, size in zip(parent, sizes, strict=True)
        ]

    def crossed(one: list[int], other: list[int]) -> list[int]:
        return [generator.choice(pair) for pair in zip(one, other, strict=True)]

    candidates = [inside(fresh) for _ in range(population)]
    for _ in range(generations):
        scores = rival.evaluate(np.array(candidates))[0]
        parents = [candidates[i] for i in np.argsort(-scores)[: population // PARENT_SHARE]]
        children = [
            inside(lambda: mutated(generator.choice(parents)))  # noqa: B023
            if number % 2
            else inside(lambda: crossed(*generator.sample(parents, 2)))  # noqa: B023
            for number in range(population - len(parents))
        ]
        candidates = parents + children
    return population + generations * (population - population // PARENT_SHARE)
