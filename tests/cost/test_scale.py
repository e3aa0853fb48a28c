import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narsfast.arch import definition_of, zoo_definition
from narsfast.cost import STATISTICS, count_definitions, scale
from narsfast.errors import UserError
from narsfast.space import load_space


def macs(definition, padding="published"):
    return int(count_definitions([definition], padding=padding)[0, STATISTICS.index("macs")])


def candidate(seed):
    space = load_space("fbnetv3")
    return definition_of(space, space.random(1, seed))[0]


def widths(definition):
    return [definition.stem_channels, *(row.channels for row in definition.rows)]


def blocks(definition):
    return [sum(row.repeats for row in stage) for stage in definition.stages]


def test_b_scaled_down_is_a():
    a, b = zoo_definition("a"), zoo_definition("b")
    found = scale(b, macs(a))
    assert (found.resolution, found.stages, found.stem_channels) == (224, a.stages, a.stem_channels)


def test_e_scaled_up_is_nearly_g():
    e, g = zoo_definition("e"), zoo_definition("g")
    found = scale(e, macs(g, "half"), padding="half")
    assert macs(found, "half") == pytest.approx(macs(g, "half"), rel=0.02)
    assert abs(found.resolution - g.resolution) <= 8
    assert abs(sum(blocks(found)) - sum(blocks(g))) <= 2
    assert sum(widths(found)) == pytest.approx(sum(widths(g)), rel=0.15)
    assert found.head_features == g.head_features
    wider = [new.channels / old.channels for old, new in zip(e.rows, found.rows, strict=True)]
    assert max(wider) / min(wider) < 1.3


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), factor=st.floats(0.25, 4))
def test_scaled_stages_stay_in_proportion(seed, factor):
    """Except for rounding to multiples of 8 in narrow stages, and one step of one stage."""
    definition = candidate(seed)
    scaled = scale(definition, macs(definition) * factor)
    changed = [new.channels / old.channels for old, new in zip(definition.rows, scaled.rows, strict=True)]
    narrowest = min(row.channels for row in definition.rows)
    assert max(changed) / min(changed) < (1 + 16 / narrowest) * (1 + 8 / narrowest)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), factors=st.lists(st.floats(0.2, 4), min_size=2, max_size=2))
def test_scaled_macs_are_monotonic(seed, factors):
    definition = candidate(seed)
    own = macs(definition)
    small, large = (scale(definition, own * factor) for factor in sorted(factors))
    assert macs(small) <= macs(large)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), factor=st.floats(0.25, 4))
def test_wanted_macs_are_met_with_legal_widths(seed, factor):
    definition = candidate(seed)
    scaled = scale(definition, macs(definition) * factor)
    assert macs(scaled) == pytest.approx(macs(definition) * factor, rel=0.02)
    for before, after in zip(widths(definition), widths(scaled), strict=True):
        assert after == before or after % 8 == 0
        assert (after >= before) if factor > 1 else (after <= before)
    assert [row.kernel for row in scaled.rows] == [row.kernel for row in definition.rows]
    assert (blocks(scaled) >= blocks(definition)) if factor > 1 else (blocks(scaled) == blocks(definition))


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=10)
def test_scaling_to_the_own_macs_changes_nothing(seed):
    definition = candidate(seed)
    assert scale(definition, macs(definition)) == definition


def test_small_networks_are_scaled_by_resolution():
    space = load_space("tiny")
    definition = definition_of(space, space.random(1, 0))[0]
    own = int(count_definitions([definition], 1, 10)[0, STATISTICS.index("macs")])
    scaled = scale(definition, own / 2, in_chans=1, num_classes=10)
    found = int(count_definitions([scaled], 1, 10)[0, STATISTICS.index("macs")])
    assert found == pytest.approx(own / 2, rel=0.1)
    assert scaled.resolution < 32


@pytest.mark.parametrize("wanted", [0, -1, 1, 1e15])
def test_macs_out_of_reach_are_refused(wanted):
    with pytest.raises(UserError, match="between a hundredth and a hundred times"):
        scale(zoo_definition("a"), wanted)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mobilenetv4_conv_small", "tf_efficientnet_lite2"])
@pytest.mark.parametrize("factor", [0.5, 2])
def test_networks_with_named_settings_are_scaled_alike(name, factor):
    """Hidden widths in channels keep their proportion to the channels beside them."""
    definition = zoo_definition(name)
    found = scale(definition, factor * macs(definition))
    assert macs(found) == pytest.approx(factor * macs(definition), rel=0.05)
    assert (found.act, found.se_width, found.head_hidden) == (
        definition.act,
        definition.se_width,
        definition.head_hidden,
    )
    for old, new in zip(definition.rows, found.rows, strict=True):
        assert new._replace(channels=old.channels, hidden=old.hidden, repeats=old.repeats) == old
        if old.hidden is not None:
            assert new.hidden / new.channels == pytest.approx(old.hidden / old.channels, rel=0.25)
