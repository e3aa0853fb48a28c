import gzip
import json
import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bench import DATA_VARIABLE
from bench.tabular.dataset import DESCRIPTIONS, FEWEST, load_dataset
from narsfast.errors import UserError

COLUMNS = {
    "depth": [1, 2, 3],
    "se": [0, 1],
    "units": [16, 32, 64],
    "rate": ["0.1", "0.2", "0.3"],
    "act": ["relu", "tanh"],
}


def rows(n=24):
    """Rows of different candidates: text by column."""
    points = [dict(zip(COLUMNS, values, strict=True)) for values in product(*COLUMNS.values())]
    return [
        {
            **{name: str(value) for name, value in points[5 * row % len(points)].items()},
            "acc": str(row),
            "again": str(row + 2),
            "cost": "2.5",
        }
        for row in range(n)
    ]


DESCRIPTION = {
    "name": "small",
    "file": "small.csv",
    "architecture": {"depth": "read", "se": [False, True], "units": [16, 32, 64]},
    "recipe": {"rate": "read", "act": ["relu", "tanh"]},
    "statistics": {"macs": "cost*1e6"},
    "target": {"columns": ["acc", "again"], "sense": "maximize"},
}


@pytest.fixture
def write(tmp_path):
    """Write rows and a description, the default one with some keys changed; return the description's path."""

    def written(dataset=None, **changes):
        dataset = rows() if dataset is None else dataset
        lines = [",".join(dataset[0]), *(",".join(row.values()) for row in dataset)]
        (tmp_path / "small.csv").write_text("\n".join(lines) + "\n")
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump({**DESCRIPTION, **changes}, sort_keys=False))
        return path

    return written


def test_load_dataset_reads_genes_statistics_and_labels(write):
    dataset = load_dataset(write())
    kinds = {field.name: (field.part, field.kind, field.values) for field in dataset.space.fields}
    assert kinds == {
        "depth": ("architecture", "range", (1, 2, 3)),
        "se": ("architecture", "categorical", (False, True)),
        "units": ("architecture", "categorical", (16, 32, 64)),
        "rate": ("recipe", "range", (0.1, 0.2, 0.3)),
        "act": ("recipe", "categorical", ("relu", "tanh")),
    }
    found = dataset.space.decode(dataset.genes)
    for candidate, row in zip(found, rows(), strict=True):
        told = {**candidate.architecture, **candidate.recipe}
        assert {name: str(int(v)) if name == "se" else str(v) for name, v in told.items()} == {
            name: row[name] for name in COLUMNS
        }
    assert dataset.targets.tolist() == [[row, row + 2] for row in range(24)]
    assert dataset.counter.names == ("macs",)
    assert dataset.counter(dataset.genes[3:5]).tolist() == [[2.5e6], [2.5e6]]
    assert dataset.curves is None
    assert not dataset.is_grid


def test_minimized_target_is_negated_after_the_logarithm(write):
    target = {"columns": ["again"], "sense": "minimize", "transformation": "log", "scale": 10}
    dataset = load_dataset(write(target=target))
    np.testing.assert_allclose(dataset.targets[:, 0], -10 * np.log(np.arange(24) + 2.0))


def test_rows_of_one_candidate_are_averaged(write):
    twice = rows()
    twice.append({**twice[0], "acc": "10", "cost": "4.5"})
    dataset = load_dataset(write(twice))
    assert len(dataset) == 24
    assert dataset.targets[0].tolist() == [5, 2]
    assert dataset.statistics[0].tolist() == [3.5e6]


def test_rows_selects_by_value(write):
    dataset = [{**row, "valid": str(place % 6 > 0)} for place, row in enumerate(rows(30))]
    assert load_dataset(write(dataset, rows={"valid": True})).targets[0, 0] == 1
    assert len(load_dataset(write(dataset, rows={"valid": True}))) == 25


def test_candidate_without_a_row_raises_value_error(write):
    dataset = load_dataset(write())
    keys = set(dataset.space.keys(dataset.genes).tolist())
    other = next(g for g in dataset.space.random(99, 0) if dataset.space.keys(g[None])[0] not in keys)
    with pytest.raises(ValueError, match="has no row in small"):
        dataset.counter(other[None])


def codes(n=24):
    return [format(number, "05b") for number in range(n)]


def test_code_becomes_a_field_per_character(write):
    dataset = [{"code": code, "acc": str(row)} for row, code in enumerate(codes())]
    code = {"code": {"split": "characters", "values": ["0", "1"]}}
    loaded = load_dataset(write(dataset, architecture=code, recipe={}, statistics={}, target=TARGET))
    assert [field.name for field in loaded.space.fields] == [f"code{place}" for place in range(1, 6)]
    found = ["".join(c.architecture.values()) for c in loaded.space.decode(loaded.genes)]
    assert found == codes()
    assert loaded.statistics.shape == (24, 0)


TARGET = {"columns": ["acc"], "sense": "maximize"}


def test_code_of_varying_length_becomes_conditional_fields(write):
    schemes = [f"k3w{8 + row}" + (f"|k{row % 3}w7" if row % 2 else "") for row in range(24)]
    dataset = [{"scheme": scheme, "acc": str(row)} for row, scheme in enumerate(schemes)]
    code = {"scheme": {"split": "|", "pattern": r"k(?P<kernel>\d+)w(?P<width>\d+)"}}
    loaded = load_dataset(write(dataset, architecture=code, recipe={}, statistics={}, target=TARGET))
    first, second = loaded.space.decode(loaded.genes[:2])
    assert first.architecture == {"scheme.length": 1, "scheme1.kernel": 3, "scheme1.width": 8}
    assert second.architecture == {
        "scheme.length": 2,
        "scheme1.kernel": 3,
        "scheme1.width": 9,
        "scheme2.kernel": 1,
        "scheme2.width": 7,
    }
    with pytest.raises(UserError, match=r"scheme1 is 'w9' in row 1; the pattern must match it"):
        load_dataset(
            write(
                [{**dataset[0], "scheme": "w9"}, *dataset[1:]],
                architecture=code,
                recipe={},
                statistics={},
                target=TARGET,
            )
        )


def test_curves_have_the_unit_of_the_labels(write):
    dataset = [{**row, "e1": "0.25", "e2": "0.5"} for row in rows()]
    loaded = load_dataset(write(dataset, curves="e{i}", target={**TARGET, "scale": 100}))
    assert loaded.curves.tolist() == [[25, 50]] * 24


def test_last_axis_of_a_grid_runs_fastest(write, tmp_path):
    axes = {"width": [8, 16, 32], "drop": [0.0, 0.5], "act": ["a", "b"], "k": [3, 5, 7]}
    loss = np.arange(72.0).reshape(36, 2)
    np.savez(tmp_path / "grid.npz", axes=json.dumps(axes), loss=loss, size=np.arange(36), other=np.zeros(3))
    changes = {
        "file": "grid.npz",
        "architecture": dict.fromkeys(("width", "k"), "read"),
        "recipe": dict.fromkeys(("drop", "act"), "read"),
        "statistics": {"params": "size"},
        "target": {"columns": ["loss"], "sense": "minimize"},
    }
    dataset = load_dataset(write(grid="axes", **changes))
    assert dataset.is_grid
    assert dataset.space.decode(dataset.genes[1:2])[0].architecture == {"width": 8, "k": 5}
    assert dataset.space.decode(dataset.genes[3:4])[0].recipe == {"drop": 0.0, "act": "b"}
    assert (dataset.targets == -loss).all()
    assert dataset.statistics[:, 0].tolist() == list(range(36))
    by_hand = load_dataset(write(grid=axes, **changes))
    assert (by_hand.genes == dataset.genes).all()


def test_two_dimensional_array_is_a_code(write, tmp_path):
    ops = np.array([list(code) for code in codes()], dtype=np.int8)
    np.savez(tmp_path / "ops.npz", ops=ops, acc=np.arange(24))
    path = write(file="ops.npz", architecture={"ops": ["0", "1"]}, recipe={}, statistics={}, target=TARGET)
    assert (load_dataset(path).genes == ops).all()


def test_space_document_counts_its_own_statistics(write):
    stage = {
        "channels": 8,
        "stride": 1,
        "se": {"choices": [False, True], "share": "se"},
        "expansion": {"first": 1, "rest": 1},
    }
    stage |= {
        "depth": {"range": [1, 3], "share": "depth"},
        "kernel": {"first": {"choices": [3, 5], "share": "k"}, "rest": 3},
    }
    space = {
        "architecture": {
            "resolution": 32,
            "stem": {"channels": 8},
            "stages": [stage],
            "head": {"expansion": 1, "features": 8},
        }
    }
    space["recipe"] = {"dropout": {"choices": [0.0, 0.1, 0.2], "share": "drop"}}
    dataset = [
        {"depth": str(d), "se": str(se), "k": str(k), "drop": str(drop), "acc": "1"}
        for d in (1, 2, 3)
        for se in (0, 1)
        for k in (3, 5)
        for drop in (0, 0.1, 0.2)
    ]
    changes = {"architecture": {}, "recipe": {}, "target": TARGET, "space": space}
    loaded = load_dataset(write(dataset, statistics={}, **changes))
    assert loaded.is_grid
    assert {"macs", "params", "activations"} <= set(loaded.counter.names)
    assert (loaded.counter(loaded.genes) == loaded.statistics).all()
    with pytest.raises(UserError, match="statistics is given beside space"):
        load_dataset(write(dataset, **changes))
    without = [{name: cell for name, cell in row.items() if name != "k"} for row in dataset]
    with pytest.raises(UserError, match="space names the column 'k'; the columns are depth, se, drop, acc"):
        load_dataset(write(without, statistics={}, **changes))


def test_file_is_found_in_the_data_folder(write, tmp_path):
    path = write(file="small.csv.gz")
    with pytest.raises(
        UserError, match=r"file is 'small.csv.gz', which is not in .*name its folder with --data"
    ):
        load_dataset(path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "small.csv.gz").write_bytes(gzip.compress((tmp_path / "small.csv").read_bytes()))
    assert len(load_dataset(path, tmp_path / "data")) == 24


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "a b"}, "name is 'a b'; it must be letters, digits and underscores"),
        ({"file": "small.txt"}, "file is 'small.txt', which is not in"),
        ({"color": 1}, "color is 1; there is no such key, the keys are name, file"),
        ({"target": None}, "target is None; it must be a mapping with columns and sense"),
        ({"target": {"columns": ["acc"]}}, "target.sense is missing; give 'maximize' or 'minimize'"),
        ({"target": {**TARGET, "sense": "up"}}, "target.sense is 'up'; it must be 'maximize' or 'minimize'"),
        (
            {"target": {**TARGET, "columns": ["top"]}},
            "target names the column 'top'; the columns are depth, se",
        ),
        (
            {"target": {**TARGET, "columns": ["act"]}},
            "target is 'relu' in row 1 of act; it must be a finite number",
        ),
        (
            {"target": {**TARGET, "transformation": "log"}},
            "target holds 0; the transformation log needs values above 0",
        ),
        ({"target": {**TARGET, "scale": 0}}, "target.scale is 0; it must be a number above 0"),
        ({"architecture": {"depth": [1, 2]}}, "depth is '3' in row"),
        ({"architecture": {"width": "read"}}, "architecture names the column 'width'"),
        ({"architecture": {"depth": [3, 3]}}, "architecture.depth.values is .*; its values must differ"),
        ({"architecture": {"depth": 3}}, "architecture.depth.values is 3; it must be a list of values"),
        (
            {"architecture": {"depth": {"pattern": "k("}}},
            "architecture.depth.pattern is 'k.'; it must be a regular expression",
        ),
        (
            {"architecture": {"depth": {"pattern": "k"}}},
            "architecture.depth.pattern is 'k'; it must have named groups",
        ),
        (
            {"architecture": {"depth": {"pattern": "(?P<k>.)"}}},
            "architecture.depth is .*; pattern goes with split and without values",
        ),
        (
            {"architecture": {}, "recipe": {}},
            "the description is .*; it must have architecture or recipe columns, or a space",
        ),
        ({"statistics": {"macs": "flops"}}, "statistics.macs names the column 'flops'"),
        ({"statistics": {"macs": 3}}, "statistics.macs.column is 3; it must be the name of a column"),
        ({"rows": {"valid": True}}, "rows names the column 'valid'"),
        ({"rows": {"depth": 9}}, "rows.depth is 9, which no row has; give a value of that column"),
        ({"rows": {"depth": 1}}, f"small.csv has .* rows that count; give at least {FEWEST}"),
        ({"curves": "e"}, "curves is 'e'; it must hold {i} for the epoch"),
        ({"curves": "e{i}"}, "curves is 'e{i}', but there is no column 'e1'"),
        (
            {"recipe": {}, "architecture": {"depth": "read"}},
            "small.csv has . different candidates; give at least",
        ),
    ],
)
def test_wrong_description_raises_one_sentence(write, changes, sentence):
    with pytest.raises(UserError, match=rf"^small\.yaml: {sentence}") as caught:
        load_dataset(write(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cell", ["", "nan", "inf", "best"])
def test_label_that_is_no_number_raises_user_error(write, cell):
    dataset = rows()
    dataset[4]["again"] = cell
    with pytest.raises(UserError, match=f"target is '{cell}' in row 5 of again; it must be a finite number"):
        load_dataset(write(dataset))


def test_unreadable_file_raises_user_error(write, tmp_path):
    path = write()
    (tmp_path / "small.csv").write_text("a,b\n1\n")
    with pytest.raises(UserError, match=r"small.csv has no columns; give a head and rows of the same length"):
        load_dataset(path)
    (tmp_path / "other.txt").touch()
    with pytest.raises(UserError, match=r"file is 'other.txt'; it must end in .csv, .csv.gz or .npz"):
        load_dataset(write(file="other.txt"))
    path.write_text("a: [")
    with pytest.raises(UserError, match="it must be a readable YAML file"):
        load_dataset(path)
    path.write_text("3")
    with pytest.raises(UserError, match="the description is 3; it must be a mapping"):
        load_dataset(path)


@given(data=st.data())
def test_candidates_decode_to_what_was_written(tmp_path_factory, data):
    """Whatever values columns have, the rows decode to what was written."""
    numbers = st.lists(st.integers(-50, 50), min_size=2, max_size=5, unique=True).map(sorted)
    fractions = numbers.map(lambda values: [value / 8 for value in values])
    words = st.lists(
        st.text("abc xyz", min_size=1, max_size=3).map(lambda t: f"w{t}w"),
        min_size=2,
        max_size=4,
        unique=True,
    )
    columns = data.draw(st.lists(st.one_of(numbers, fractions, words), min_size=3, max_size=4))
    points = np.array(np.meshgrid(*[range(len(values)) for values in columns])).T.reshape(-1, len(columns))
    points = np.concatenate([points] * (FEWEST // len(points) + 1))
    folder = tmp_path_factory.mktemp("dataset")
    lines = [",".join([*(f"c{place}" for place in range(len(columns))), "acc"])]
    for row, point in enumerate(points):
        cells = [str(values[index]) for values, index in zip(columns, point, strict=True)]
        lines.append(",".join([*cells, str(row)]))
    (folder / "t.csv").write_text("\n".join(lines))
    architecture = {
        f"c{place}": data.draw(st.sampled_from([values, "read"])) for place, values in enumerate(columns)
    }
    described = {"name": "t", "file": "t.csv", "architecture": architecture, "target": TARGET}
    (folder / "t.yaml").write_text(yaml.safe_dump(described))
    different = len(np.unique(points, axis=0))
    if different < FEWEST:
        with pytest.raises(UserError, match=f"{different} different candidates"):
            load_dataset(folder / "t.yaml")
        return
    dataset = load_dataset(folder / "t.yaml")
    assert dataset.is_grid
    for candidate, point in zip(dataset.space.decode(dataset.genes), points, strict=False):
        assert list(candidate.architecture.values()) == [
            v[index] for v, index in zip(columns, point, strict=True)
        ]


SHIPPED = {
    "accel": 2996,
    "macro": 3959,
    "fcnet_protein": 62208,
    "fcnet_naval": 62208,
    "naap": 440,
    "fbnet_pixel3": 5000,
}


@pytest.mark.skipif(not os.environ.get(DATA_VARIABLE), reason=f"{DATA_VARIABLE} names no folder")
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_description_fits_its_file(name):
    dataset = load_dataset(DESCRIPTIONS / f"{name}.yaml", Path(os.environ[DATA_VARIABLE]))
    assert dataset.name == name
    assert len(dataset) == SHIPPED[name]
    dataset.space.check(dataset.genes)
    assert dataset.is_grid == name.startswith("fcnet")
    assert dataset.statistics.shape == (len(dataset), len(dataset.counter.names))


def test_every_shipped_description_is_tested():
    assert {path.stem for path in DESCRIPTIONS.glob("*.yaml")} == SHIPPED.keys()
