import numpy as np
import pytest

from narsfast.arch import ROW_COLUMNS, Definition, definition_of, lower_definitions, lower_genes, zoo
from narsfast.errors import UserError
from narsfast.space import INPUT_QUARTER, builtin_spaces, load_space


@pytest.fixture(params=builtin_spaces())
def space(request):
    return load_space(request.param)


def test_shorter_definitions_are_padded_with_absent_rows():
    a0, b = zoo()["FBNetV3_A0"], zoo()["FBNetV3_B"]
    short = a0.model_copy(update={"stages": a0.stages[:2]})
    header, rows = lower_definitions([short, b])
    assert header.tolist() == [[224, 12, 5, 1984, 0, 0, 0], [248, 16, 6, 1984, 0, 0, 0]]
    assert rows.shape == (2, 12, len(ROW_COLUMNS))
    assert header.dtype == rows.dtype == np.int32
    assert not rows[0, 3:].any()
    assert rows[0, 2].tolist() == [3, 2, 24, 1, 2, 0, -1, *[0] * (len(ROW_COLUMNS) - 7)]


def test_padding_half_ignores_the_padding_of_rows():
    published = lower_definitions([zoo()["FBNetV3_B"]]).rows[0, :, 6].tolist()
    half = lower_definitions([zoo()["FBNetV3_B"]], padding="half").rows[0, :, 6].tolist()
    assert published == [-1, -1, -1, -1, -1, 1, -1, -1, -1, 0, -1, -1]
    assert half == [-1] * 12


def test_genes_lower_to_the_values_of_the_candidate(space):
    genes = space.random(50, seed=1)
    header, rows = lower_genes(space, genes)
    assert rows.shape == (50, 2 * space.stages, len(ROW_COLUMNS))
    for candidate, got_header, got_rows in zip(space.decode(genes), header, rows, strict=True):
        a = candidate.architecture
        names = ("resolution", "stem.channels", "head.expansion", "head.features")
        assert got_header.tolist() == [*(a[name] for name in names), 0, 0, 0]
        for index, (first, rest) in enumerate(got_rows.reshape(-1, 2, len(ROW_COLUMNS)).tolist(), start=1):
            get = {name: a.get(f"stage{index}.{name}") for name in ("channels", "depth", "stride", "se")}
            depth, se = get["depth"], int(get["se"])
            options = {"padding": -1, "se_width": se * INPUT_QUARTER.code}
            plain = [options.get(column, 0) for column in ROW_COLUMNS[6:]]
            kernel, expansion = a[f"stage{index}.kernel.first"], a[f"stage{index}.expansion.first"]
            assert first == [kernel, expansion, get["channels"], get["stride"], 1, se, *plain]
            if depth == 1:
                assert rest == [0] * len(ROW_COLUMNS)
            else:
                kernel, expansion = a[f"stage{index}.kernel.rest"], a[f"stage{index}.expansion.rest"]
                assert rest == [kernel, expansion, get["channels"], 1, depth - 1, se, *plain]


def test_definition_of_genes_lowers_to_the_same_rows(space):
    genes = space.random(50, seed=2)
    direct = lower_genes(space, genes)
    definitions = definition_of(space, genes)
    for i, definition in enumerate(definitions):
        header, rows = lower_definitions([definition])
        assert (header[0] == direct.header[i]).all()
        present = direct.rows[i][direct.rows[i, :, 4] > 0]
        assert (rows[0] == present).all()
        assert type(definition).from_json(definition.to_json()) == definition


def test_lowering_no_candidates_gives_empty_arrays(space):
    genes = space.random(0, seed=0)
    assert lower_genes(space, genes).rows.shape == (0, 2 * space.stages, len(ROW_COLUMNS))
    assert lower_definitions([]).rows.shape == (0, 0, len(ROW_COLUMNS))
    assert definition_of(space, genes) == []


def test_lower_genes_refuses_a_space_without_stages(tmp_path):
    path = tmp_path / "table.yaml"
    path.write_text("name: table\narchitecture: {width: {choices: [1, 2]}}\nrecipe: {batch_size: 4}\n")
    space = load_space(path)
    with pytest.raises(UserError, match="'table' has no stages"):
        lower_genes(space, space.random(2, seed=0))


def test_options_of_a_space_are_settings_of_its_definitions():
    space = load_space("tests/options.yaml")
    genes = space.sobol(32, seed=0)
    definitions = definition_of(space, genes)
    for candidate, definition in zip(space.decode(genes), definitions, strict=True):
        values = candidate.architecture
        assert (definition.act, definition.se_act, definition.padding) == (values["act"], "relu", "same")
        assert (definition.head_expansion, definition.head_hidden, definition.head_features) == (
            None,
            48,
            None,
        )
        *firsts, last = definition.rows
        assert {row.start_kernel for row in firsts} == {values["stage1.start_kernel"] or None}
        assert {(row.se_width, row.act) for row in firsts} == {("hidden/4", None)}
        assert (last.act, last.kind) == ("relu6", values["stage2.kind"])
        assert Definition.from_json(definition.to_json()) == definition
    lowered = lower_genes(space, genes)
    for index, definition in enumerate(definitions):
        header, rows = lower_definitions([definition])
        assert (header[0] == lowered.header[index]).all()
        assert (rows[0] == lowered.rows[index][lowered.rows[index, :, 4] > 0]).all()
