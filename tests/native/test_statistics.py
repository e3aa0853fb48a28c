"""The native rows and statistics against their numpy twins, and their errors."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narsfast import _native
from narsfast.arch import ROW_COLUMNS, Definition, Rows, lower_definitions, lower_genes, zoo
from narsfast.cost import Counter, count_definitions
from narsfast.cost._reference import count_rows_reference
from narsfast.errors import UserError
from narsfast.space import INPUT_QUARTER, Space, builtin_spaces, load_space


def counter(space, in_chans=3, num_classes=12):
    return _native.NetworkCounter(space.tables(), in_chans, num_classes)


@pytest.mark.parametrize("name", builtin_spaces())
def test_lower_equals_reference(name):
    space = load_space(name)
    genes = space.random(500, seed=7)
    header, rows = _native.lower(space.tables(), genes)
    twin = lower_genes(space, genes)
    assert header.dtype == rows.dtype == np.int32
    assert np.array_equal(header, twin.header)
    assert np.array_equal(rows, twin.rows)


@pytest.mark.parametrize("candidates", [0, 1, 7, 8, 255, 256, 257, 700])
def test_counting_genes_equals_counting_their_rows(candidates):
    """Around the numbers of candidates that are looked up together and given to a thread."""
    space = load_space("mobile")
    genes = space.random(candidates, seed=candidates)
    header, rows = _native.lower(space.tables(), genes)
    counted = counter(space).count_int64(genes)
    assert np.array_equal(counted, _native.count(header, rows, 3, 12))
    assert np.array_equal(counted, count_rows_reference(lower_genes(space, genes), 3, 12))
    assert np.array_equal(counted, counter(space).count_float64(genes))


def listed(values):
    return {"choices": sorted(values)}


def stages(draw):
    numbers = st.integers(1, 40)
    kernels = st.sampled_from([1, 3, 5, 7])
    some = lambda values: listed(draw(st.sets(values, min_size=1, max_size=3)))  # noqa: E731
    return [
        {
            "depth": some(st.integers(1, 4)),
            "channels": some(numbers),
            "stride": some(st.integers(1, 2)),
            "se": some(st.booleans()),
            "kernel": {"first": some(kernels), "rest": some(kernels)},
            "expansion": {"first": some(st.integers(1, 6)), "rest": some(st.integers(1, 6))},
        }
        | stage_options(draw, some)
        for _ in range(draw(st.integers(1, 4)))
    ]


def stage_options(draw, some):
    """Draw what a stage may leave out: blocks of another kind or activation, other squeeze-excites."""
    options = {
        "act": some(st.sampled_from(["relu", "silu"])),
        "start_kernel": some(st.sampled_from([0, 3, 5])),
        "se_width": some(st.sampled_from(["hidden/4", "input/2 exact"])),
    }
    if draw(st.booleans()):
        # A fused block has no kernel before its own, and no squeeze-excite where it expands nothing.
        del options["start_kernel"]
        options |= {"kind": some(st.sampled_from(["mbconv", "fused"])), "se": False}
    return {name: value for name, value in options.items() if name == "se" or draw(st.booleans())}


@st.composite
def spaces(draw):
    """Spaces of up to four stages, whose channels and expansions may be shared."""
    document = {
        "name": "drawn",
        "architecture": {
            "resolution": listed(draw(st.sets(st.integers(8, 70), min_size=1, max_size=4))),
            "stem": {"channels": listed(draw(st.sets(st.integers(1, 40), min_size=1, max_size=3)))},
            "stages": stages(draw),
            "head": {
                "expansion": listed(draw(st.sets(st.integers(1, 6), min_size=1, max_size=2))),
                "features": listed(draw(st.sets(st.integers(1, 200), min_size=1, max_size=2))),
            },
        },
        "recipe": {},
    }
    if draw(st.booleans()):
        document["architecture"] |= {"act": "relu6", "se_width": 12, "padding": "same", "norm_eps": 0.001}
    if draw(st.booleans()):
        head = {"hidden": 20, "features": draw(st.sampled_from([0, 30])), "bias": True, "norm": True}
        document["architecture"]["head"] = head
    if draw(st.booleans()):
        first = document["architecture"]["stages"][0]
        for stage in document["architecture"]["stages"]:
            stage["channels"] = first["channels"] | {"share": "width"}
            stage["stride"] = first["stride"] | {"share": "stride"}
    return Space.from_dict(document)


@given(spaces(), st.integers(0, 1000), st.integers(1, 4), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_tables_equal_rows_on_any_space(space, seed, in_chans, num_classes):
    genes = space.random(40, seed)
    by_tables = counter(space, in_chans, num_classes)
    assert by_tables.parts is not None
    assert np.array_equal(
        by_tables.count_int64(genes), count_rows_reference(lower_genes(space, genes), in_chans, num_classes)
    )
    for one, other in zip(lower_genes(space, genes), _native.lower(space.tables(), genes), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(
        by_tables.count_int64(genes),
        _native.count(*_native.lower(space.tables(), genes), in_chans, num_classes),
    )


def wide():
    """More parts than tables hold: 300 widths before and after a stage."""
    many = {"range": [1, 300]}
    stage = {"channels": many, "stride": 1, "se": False, "depth": {"range": [1, 3]}}
    stage |= {"kernel": {"first": {"choices": [3, 5, 7]}, "rest": 3}, "expansion": {"first": 1, "rest": 1}}
    stage["expansion"] = {"first": {"range": [1, 4]}, "rest": 2}
    architecture = {"resolution": 32, "stem": {"channels": many}, "stages": [stage]}
    return {
        "name": "wide",
        "architecture": architecture | {"head": {"expansion": 2, "features": 64}},
        "recipe": {},
    }


def exact():
    """Few parts, but of more multiply-adds than a double holds exactly."""
    huge = 1 << 16
    document = wide()
    document["architecture"]["resolution"] = 4096
    document["architecture"]["stem"]["channels"] = huge
    document["architecture"]["stages"][0]["channels"] = huge
    return document


@pytest.mark.parametrize("document", [wide(), exact()], ids=["many", "huge"])
def test_rows_are_counted_if_there_are_too_many_parts(document):
    space = Space.from_dict(document)
    genes = space.random(300, seed=1)
    by_rows = counter(space)
    assert by_rows.parts is None
    assert np.array_equal(by_rows.count_int64(genes), count_rows_reference(lower_genes(space, genes), 3, 12))
    assert np.array_equal(by_rows.count_float64(genes), by_rows.count_int64(genes).astype(np.float64))
    with pytest.raises(ValueError, match="too many parts"):
        by_rows.add_cost(np.zeros(1))


LARGE = {"resolution": 4096, "stem_channels": 1 << 16, "head_expansion": 2, "head_features": 64}


def a_row(**columns):
    """Return the rows (1, 1, columns) of a network of one row with squeeze-excite."""
    fixed = {"kernel": 3, "stride": 1, "se": 1, "padding": -1, "se_width": INPUT_QUARTER.code}
    values = fixed | columns
    return np.array([[[values.get(column, 0) for column in ROW_COLUMNS]]], np.int32)


def large_rows(expansion):
    """Return the rows of a network with this expansion of 2^16 channels, on maps of 2,048 pixels a side."""
    header = np.array([[*LARGE.values(), 0, 0, 0]], np.int32)
    return header, a_row(expansion=expansion, channels=1 << 16, repeats=1)


@pytest.mark.parametrize("expansion", [1, 16, 32])
def test_large_counts_equal_reference(expansion):
    header, rows = large_rows(expansion)
    expected = count_rows_reference(Rows(header, rows), 3, 12)
    assert (expected >= 0).all()
    assert np.array_equal(_native.count(header, rows, 3, 12), expected)


def test_widths_past_32_bits_equal_reference():
    header = np.array([[8, 8, 1, 8, 0, 0, 0]], np.int32)
    rows = a_row(expansion=1 << 12, channels=1 << 20, repeats=2)
    expected = count_rows_reference(Rows(header, rows), 3, 12)
    assert np.array_equal(_native.count(header, rows, 3, 12), expected)


@pytest.mark.parametrize("column", ["expansion", "repeats", "side", "classes", "features"])
def test_counts_that_an_integer_cannot_hold_are_refused(column):
    header, rows = large_rows(128 if column == "expansion" else 1)
    classes = 12
    if column == "repeats":
        rows[0, 0, 4] = 2**31 - 1
    elif column == "side":
        header[0, 0] = 2**31 - 1
    elif column == "classes":
        header[0, 3] = classes = 2**31 - 1
    elif column == "features":
        header[0, 2] = header[0, 3] = 2**31 - 1
    with pytest.raises(OverflowError, match=r"a network has 2\^61 multiply-adds or more"):
        _native.count(header, rows, 3, classes)


def test_space_with_networks_that_are_too_large_is_refused_in_one_sentence():
    document = exact()
    document["architecture"]["stages"][0]["expansion"]["first"] = 64
    document["architecture"]["stages"][0]["expansion"]["rest"] = 64
    space = Space.from_dict(document)
    genes = space.random(300, seed=1)
    with pytest.raises(UserError, match=r"a network has 2\^61 multiply-adds or more; lower its resolution"):
        Counter(space)(genes)
    definition = Definition.from_dict(
        {"name": "large", "stages": [[[3, 128, 1 << 16, 1, 1, True, None]]], **LARGE}
    )
    with pytest.raises(UserError, match=r"a network has 2\^61 multiply-adds or more; lower its resolution"):
        count_definitions([definition])
    for field in ("resolution", "stem_channels", "head_features"):
        with pytest.raises(UserError, match=rf"field {field} of definition .* is 2147483648"):
            Definition.from_dict(definition.to_dict() | {field: 2**31})
    for field in ("in_chans", "num_classes"):
        with pytest.raises(
            UserError, match=f"{field} is 2147483648; it should be at least 1 and below 2147483648"
        ):
            count_definitions([definition], **{field: 2**31})


def test_cost_is_the_sum_over_the_parts():
    """At a cost of 1 for each block, stem and head, it is the number of blocks plus 2."""
    space = load_space("mobile")
    genes = space.random(100, seed=1)
    with_cost = counter(space)
    repeats = with_cost.parts[:, -1]
    with_cost.add_cost(repeats.astype(np.float64))
    blocks = lower_genes(space, genes).rows[:, :, 4].sum(axis=1)
    assert np.array_equal(
        with_cost.count_float64(genes), np.column_stack([counter(space).count_int64(genes), blocks + 2])
    )


def test_genes_outside_the_space_raise():
    space = load_space("tiny")
    genes = space.random(3, seed=0)
    for gene in (-1, 1000, space.sizes[2], np.iinfo(np.int16).min):
        wrong = genes.copy()
        wrong[1, 2] = gene
        with pytest.raises(ValueError, match="outside"):
            counter(space).count_int64(wrong)
    with pytest.raises(ValueError, match="genes must be"):
        _native.lower(space.tables(), genes[:, 1:].copy())


def test_columns_outside_the_fields_raise():
    tables = load_space("tiny").tables()
    tables = replace(tables, header_columns=tables.header_columns - 100)
    with pytest.raises(ValueError, match="column"):
        _native.NetworkCounter(tables, 3, 10)


def test_space_without_stages_raises():
    space = Space.from_dict({"name": "table", "architecture": {"width": {"choices": [1, 2]}}, "recipe": {}})
    with pytest.raises(ValueError, match="no stages"):
        _native.NetworkCounter(space.tables(), 3, 10)


def test_invalid_rows_raise():
    header, rows = lower_definitions([zoo()["FBNetV3_A0"]])
    for column in (1, 3):
        wrong = rows.copy()
        wrong[0, 0, column] = 0
        with pytest.raises(ValueError, match="at least 1"):
            _native.count(header, wrong, 3, 1000)
    with pytest.raises(ValueError, match="header"):
        _native.count(header[:, :3].copy(), rows, 3, 1000)
    with pytest.raises(ValueError, match="rows"):
        _native.count(header, rows[:, :, :6].copy(), 3, 1000)


def test_other_dtypes_raise():
    space = load_space("tiny")
    with pytest.raises(TypeError):
        _native.lower(space.tables(), space.random(2, seed=0).astype(np.int64))
