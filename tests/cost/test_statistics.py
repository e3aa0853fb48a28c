import numpy as np
import pytest

from narsfast.arch import Definition, create, definition_of, lower_genes, zoo
from narsfast.cost import STATISTICS, Counter, count_definitions, stage_params
from narsfast.cost._reference import count_rows_reference
from narsfast.errors import UserError
from narsfast.space import builtin_spaces, load_space


def one_block(**changes):
    row = {"k": 3, "e": 4, "c": 8, "s": 1, "r": 1, "se": False, "p": None} | changes
    return Definition.from_dict(
        {
            "name": "one",
            "resolution": 16,
            "stem_channels": 8,
            "stages": [[list(row.values())]],
            "head_expansion": 2,
            "head_features": 10,
        }
    )


def count(definition, **options):
    return dict(zip(STATISTICS, count_definitions([definition], **options)[0].tolist(), strict=True))


def test_statistics_of_one_block_equal_those_by_hand():
    """16 px, stem 8 on 8x8, one block 8 -> 32 -> 8, head 8 -> 16 -> 10 -> 5 classes."""
    got = count(one_block(), num_classes=5)
    convs = [27 * 8 * 64, 8 * 32 * 64, 9 * 32 * 64, 32 * 8 * 64, 8 * 16 * 64, 16 * 10]
    weights = [27 * 8, 8 * 32, 9 * 32, 32 * 8, 8 * 16, 16 * 10]
    norms = 2 * (8 + 32 + 32 + 8 + 16)
    assert got["macs"] == sum(convs) + 50
    assert got["flops_published"] == got["macs"] + 16 * 64 + 10
    assert got["params_published"] == sum(weights) + 50
    assert got["params"] == got["params_published"] + norms + 5
    assert got["activations"] == 64 * (8 + 32 + 32 + 8 + 16) + 10
    assert got["depth"] == 6
    # The depthwise convolution: 32 in, 32 out, and 8 channels of the shortcut that are held.
    assert got["peak_memory"] == 4 * 64 * (32 + 32 + 8)


def test_statistics_of_squeeze_excite_equal_those_by_hand():
    """A quarter of 8 inputs rounds to 8: 32 -> 8 -> 32 with biases, and a pool over the map."""
    with_se, without = count(one_block(se=True)), count(one_block())
    assert with_se["macs"] - without["macs"] == 2 * 32 * 8
    assert with_se["flops_published"] - without["flops_published"] == 2 * 32 * 8 + 32 * 64
    assert with_se["params"] - without["params"] == 2 * 32 * 8 + 8 + 32
    assert with_se["params_published"] - without["params_published"] == 2 * 32 * 8
    assert with_se["activations"] - without["activations"] == 8 + 32
    assert with_se["depth"] - without["depth"] == 2


def test_peak_memory_includes_a_held_shortcut():
    """There is none with a stride or another width; without expansion it is the input itself."""
    stem = 3 * 256 + 8 * 64
    assert count(one_block(c=16))["peak_memory"] == 4 * 64 * (32 + 32)
    assert count(one_block(s=2))["peak_memory"] == 4 * 64 * (8 + 32)
    assert count(one_block(e=1), in_chans=1)["peak_memory"] == 4 * 64 * (8 + 8 + 8)
    assert count(one_block(e=1, c=16))["peak_memory"] == 4 * max(stem, 64 * (16 + 32))


def test_shortcut_is_held_during_the_projection_without_expansion():
    """The peak is 8 channels in, out and held on 8x8; stem and head stay below it."""
    definition = one_block(e=1).model_copy(update={"head_expansion": 1})
    stem, depthwise, projection, head = 256 + 8 * 64, 64 * (8 + 8), 64 * (8 + 8 + 8), 64 * (8 + 8)
    assert projection > max(stem, depthwise, head)
    assert count(definition, in_chans=1)["peak_memory"] == 4 * projection


def test_classes_and_channels_are_counted():
    base, more = count(one_block(), num_classes=5), count(one_block(), num_classes=6, in_chans=4)
    assert more["macs"] - base["macs"] == 10 + 9 * 8 * 64
    assert more["params"] - base["params"] == 11 + 9 * 8


def test_repeats_count_like_separate_rows():
    row = [3, 4, 16, 2, 3, True, None]
    rest = [3, 4, 16, 1, 1, True, None]
    fields = one_block().to_dict()
    together = Definition.from_dict(fields | {"stages": [[row]]})
    apart = Definition.from_dict(fields | {"stages": [[[*row[:4], 1, *row[5:]], rest, rest]]})
    assert count(together) == count(apart)


def test_batch_counts_like_single_definitions():
    definitions = [one_block(), *zoo().values(), one_block(se=True)]
    whole = count_definitions(definitions)
    assert whole.shape == (len(zoo()) + 2, 7)
    assert whole.dtype == np.int64
    assert (whole == np.concatenate([count_definitions([d]) for d in definitions])).all()


@pytest.mark.parametrize("name", builtin_spaces())
def test_counter_equals_the_reference(name):
    space = load_space(name)
    counter = Counter(space, in_chans=1, num_classes=10)
    genes = space.random(1000, seed=4)
    assert counter.names == STATISTICS
    assert (counter(genes) == count_rows_reference(lower_genes(space, genes), 1, 10)).all()
    assert (counter(genes[::-1]) == counter(genes)[::-1]).all()


@pytest.mark.parametrize("name", builtin_spaces())
def test_stage_params_are_those_of_the_modules(name):
    space = load_space(name)
    genes = space.random(4, seed=2)
    counted = stage_params(space, genes)
    for definition, params in zip(definition_of(space, genes), counted.tolist(), strict=True):
        network = create(definition)
        stages = [sum(p.numel() for p in stage.parameters()) for stage in network.stages]
        assert params == stages


def test_counting_no_candidates_gives_an_empty_array():
    space = load_space("tiny")
    assert Counter(space)(space.random(0, seed=0)).shape == (0, 7)
    assert count_definitions([]).shape == (0, 7)


def test_space_without_stages_has_no_statistics(tmp_path):
    path = tmp_path / "table.yaml"
    path.write_text("name: table\narchitecture: {width: {choices: [1, 2]}}\nrecipe: {batch_size: 4}\n")
    space = load_space(path)
    counter = Counter(space)
    assert counter.names == ()
    assert counter(space.random(3, seed=0)).shape == (3, 0)


@pytest.mark.parametrize("field", ["in_chans", "num_classes"])
def test_in_chans_and_num_classes_are_checked(field):
    with pytest.raises(UserError, match=f"{field} is 0"):
        Counter(load_space("tiny"), **{field: 0})
    with pytest.raises(UserError, match=f"{field} is 0"):
        count_definitions([], **{field: 0})
