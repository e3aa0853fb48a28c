import numpy as np

from narsfast.space import HEADER_NAMES, STAGE_NAMES, Space, SqueezedWidth, load_space


def test_tables_of_a_space_without_stages():
    space = Space.from_dict(
        {
            "name": "flat",
            "architecture": {
                "op": {"choices": ["conv", "pool"]},
                "width": {"range": [8, 24, 8]},
                "on": {"choices": [False, True]},
                "extra": {"choices": [4, 6], "when": {"op": "pool", "width": "> 8"}},
            },
            "recipe": {"rate": {"range": [1, 2], "unit": 0.5}, "batch": 64},
        }
    )
    tables = space.tables()
    np.testing.assert_array_equal(tables.sizes, [2, 3, 2, 2, 2, 1])
    np.testing.assert_array_equal(tables.kinds, [0, 1, 0, 0, 1, 2])
    np.testing.assert_array_equal(tables.parts, [0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(
        tables.numbers, [[0, 0, 0], [8, 16, 24], [0, 1, 0], [4, 6, 0], [0, 0, 0], [0, 0, 0]]
    )
    np.testing.assert_array_equal(tables.condition_offsets, [0, 0, 0, 0, 2, 2, 2])
    np.testing.assert_array_equal(tables.condition_parents, [0, 1])
    np.testing.assert_array_equal(tables.condition_masks, [0b10, 0b110])
    np.testing.assert_array_equal(tables.header_columns, [-1] * 8)
    assert tables.stage_columns.shape == (0, 12)


def test_arrays_have_their_types_and_are_contiguous():
    tables = load_space("fbnetv3").tables()
    expected = {
        "sizes": np.int16,
        "kinds": np.int8,
        "parts": np.int8,
        "numbers": np.int32,
        "condition_offsets": np.int32,
        "condition_parents": np.int32,
        "condition_masks": np.uint64,
        "header_columns": np.int32,
        "stage_columns": np.int32,
    }
    for name, dtype in expected.items():
        array = getattr(tables, name)
        assert array.dtype == dtype, name
        assert array.flags["C_CONTIGUOUS"], name


def test_network_columns_point_at_the_fields_that_fill_them():
    shared = {"choices": [3, 5], "share": "late kernels"}
    data = load_space("tiny").to_dict()
    data["architecture"]["stage3.kernel.rest"] = data["architecture"]["stage4.kernel.rest"] = shared
    space = Space.from_dict(data)
    tables = space.tables()
    assert (tables.header_columns[4:] == -1).all()
    assert (tables.stage_columns[:, 8:] == -1).all()
    for column, name in zip(tables.header_columns[:4], HEADER_NAMES, strict=True):
        assert name in space.fields[column].fills
    for number, columns in enumerate(tables.stage_columns, start=1):
        for column, name in zip(columns[:8], STAGE_NAMES, strict=True):
            assert f"stage{number}.{name}" in space.fields[column].fills
    assert tables.stage_columns[2, 1] == tables.stage_columns[3, 1] == space.column("late kernels")


def test_parents_precede_dependents():
    tables = load_space("mobile").tables()
    owners = np.repeat(np.arange(len(tables.sizes)), np.diff(tables.condition_offsets))
    assert len(owners) == 12  # two rest fields in each of six stages
    assert (tables.condition_parents < owners).all()


def test_options_point_at_the_fields_of_the_stage_or_of_the_network():
    data = load_space("tiny").to_dict()
    data["architecture"] |= {"act": "relu6", "head.bias": True, "se_width": "hidden/4"}
    data["architecture"] |= {"stage2.act": {"choices": ["relu", "silu"]}, "stage2.kind": "fused"}
    data["architecture"] |= {"stage2.se": False, "stage3.start_kernel": {"choices": [0, 5]}}
    space = Space.from_dict(data)
    tables = space.tables()
    header = [-1, space.column("head.bias"), -1, space.column("act")]
    np.testing.assert_array_equal(tables.header_columns[4:], header)
    usual = [space.column("act"), -1, -1, space.column("se_width")]
    np.testing.assert_array_equal(tables.stage_columns[0, 8:], usual)
    own = [space.column("stage2.act"), space.column("stage2.kind"), -1, usual[-1]]
    np.testing.assert_array_equal(tables.stage_columns[1, 8:], own)
    assert tables.stage_columns[2, 10] == space.column("stage3.start_kernel")
    np.testing.assert_array_equal(tables.numbers[space.column("stage2.act"), :2], [1, 3])
    assert tables.numbers[space.column("se_width"), 0] == SqueezedWidth.of("hidden/4").code
