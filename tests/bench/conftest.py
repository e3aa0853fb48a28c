"""A small tabular dataset."""

from itertools import product

import pytest

_DESCRIPTION = """
name: toy
file: toy.csv
architecture: {depth: read, width: [8, 16, 24, 32]}
recipe: {rate: [0.1, 0.2, 0.3]}
statistics: {macs: cost}
target: {columns: [acc0, acc1], sense: maximize}
curves: e{i}
"""


@pytest.fixture
def toy(tmp_path):
    """Describe a full grid of 48 rows: deep and wide is good, at the middle rate; two seeds and three epochs."""
    lines = ["depth,width,rate,cost,acc0,acc1,e1,e2,e3"]
    for depth, width, rate in product((1, 2, 3, 4), (8, 16, 24, 32), (0.1, 0.2, 0.3)):
        acc = 50 + 2 * depth + width / 2 - 40 * abs(rate - 0.2)
        noise = (depth * width) % 3 / 10
        cells = (
            depth,
            width,
            rate,
            1000 * depth * width,
            acc + noise,
            acc - noise,
            10 + depth,
            acc / 2,
            acc + noise,
        )
        lines.append(",".join(map(str, cells)))
    (tmp_path / "toy.csv").write_text("\n".join(lines))
    path = tmp_path / "toy.yaml"
    path.write_text(_DESCRIPTION)
    return path
