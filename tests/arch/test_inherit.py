"""A child of its parent: the same function where it can be, the same channels everywhere where it cannot."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narsfast.arch import Definition, create_model
from narsfast.arch._channels import CLASSES, IMAGE, channels_of
from narsfast.arch._child import Family
from narsfast.arch._inherit import Inheritance
from narsfast.arch._plan import blocks_of
from narsfast.errors import UserError
from narsfast.space._spec import FieldSpec

SIDE = 64
PARENT = Definition.from_dict(
    {
        "name": "parent",
        "resolution": SIDE,
        "stem_channels": 16,
        "stages": [
            [[3, 1, 16, 1, 1, False]],
            [[5, 3, 24, 2, 3, True]],
            [
                {"kernel": 3, "hidden": 56, "channels": 24, "kind": "fused", "repeats": 2},
                {"kernel": 3, "expansion": 2, "channels": 32, "start_kernel": 5, "stride": 2, "repeats": 2},
            ],
            [{"kernel": 3, "channels": 40, "kind": "conv"}, [5, 2, 40, 1, 2, True]],
        ],
        "head_expansion": 2,
        "head_features": 48,
        "act": "relu6",
    }
)
PARENTS = [PARENT.name, "FBNetV3_A", "mobilenet_v3_small", "mobilenet_v2", "mobilenetv4_conv_small"]


def parent_of(name):
    return PARENT if name == PARENT.name else create_model(name).definition


@cache
def weights_of(name):
    return build(parent_of(name)).state_dict()


def build(definition, weights=None):
    """Build the network; without weights, with random ones, also of its norms."""
    torch.manual_seed(0)
    network = create_model(definition, 5, ops="torch").eval()
    if weights is not None:
        network.load_state_dict(weights)
        return network
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.2)
            elif tensor.ndim == 1:
                tensor.uniform_(0.5, 1.5)
    return network


@torch.no_grad()
def outputs(network, chans=3):
    generator = torch.Generator().manual_seed(1)
    return network.double()(torch.randn(3, chans, SIDE, SIDE, generator=generator).double())


def inherited(parent, child, network, **options):
    return build(child, Inheritance(parent, child)(network.state_dict(), **options))


@pytest.mark.parametrize("name", PARENTS)
def test_the_parent_itself_is_its_child(name):
    parent = parent_of(name)
    network = build(parent)
    weights = network.state_dict()
    child = Inheritance(parent, parent)(weights)
    assert child.keys() == weights.keys()
    assert all(torch.equal(child[key], tensor) for key, tensor in weights.items())
    assert all(child[key].data_ptr() != tensor.data_ptr() for key, tensor in weights.items())


def with_rows(definition, change):
    """Return the definition with each row changed; `change(row, stage)` returns what is replaced."""
    stages = tuple(
        tuple(row._replace(**change(row, number)) for row in rows)
        for number, rows in enumerate(definition.stages)
    )
    child = definition.model_copy(update={"stages": stages})
    child.check()
    return child


GROWN = {
    "wider stages": lambda row, stage: {"channels": row.channels + 8} if stage == 3 else {},
    "wider hidden channels": lambda row, stage: (
        {"expansion": row.expansion + 1} if stage in (1, 3) and row.expansion else {}
    ),
    "deeper": lambda row, stage: {"repeats": row.repeats + 2} if row.kind == "mbconv" and stage else {},
    "larger kernels": lambda row, stage: {"kernel": row.kernel + 2},
}


@pytest.mark.parametrize("how", GROWN)
@pytest.mark.parametrize("training", [False, True])
def test_what_is_more_computes_the_same(how, training):
    child = with_rows(PARENT, GROWN[how])
    assert child != PARENT
    network = build(PARENT)
    grown = inherited(PARENT, child, network)
    assert sum(p.numel() for p in grown.parameters()) > sum(p.numel() for p in network.parameters())
    torch.testing.assert_close(
        outputs(grown.train(training)), outputs(network.train(training)), rtol=1e-9, atol=1e-9
    )


def test_all_of_it_can_grow_at_once():
    child = with_rows(
        PARENT, lambda row, stage: {"channels": row.channels + (stage > 0) * 8, "kernel": row.kernel + 2}
    )
    child = child.model_copy(update={"head_expansion": 3, "head_features": 64})
    network = build(PARENT)
    torch.testing.assert_close(
        outputs(inherited(PARENT, child, network)), outputs(network), rtol=1e-9, atol=1e-9
    )


def test_a_wider_stem_computes_the_same():
    child = with_rows(PARENT, lambda row, stage: {"channels": 24} if stage == 0 else {})
    child = child.model_copy(update={"stem_channels": 24})
    network = build(PARENT)
    torch.testing.assert_close(
        outputs(inherited(PARENT, child, network)), outputs(network), rtol=1e-9, atol=1e-9
    )


def permuted(definition, weights, seed):
    """Return the weights with the channels of every group in another order."""
    channels = channels_of(definition)
    generator = torch.Generator().manual_seed(seed)
    orders = {group: torch.randperm(size, generator=generator) for group, size in channels.sizes.items()}
    result = dict(weights)
    for layer in channels.layers:
        if layer.out != CLASSES:
            names = [f"{layer.name}.weight"] + [f"{layer.name}.bias"] * layer.bias
            if layer.norm is not None:
                names += [
                    f"{layer.norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")
                ]
            for name in names:
                result[name] = result[name][orders[layer.out]]
        if layer.into not in (None, IMAGE):
            result[f"{layer.name}.weight"] = result[f"{layer.name}.weight"][:, orders[layer.into]]
    return result


def choices(family):
    """Return the values of each field of the space around a parent."""
    return {name: FieldSpec.model_validate(spec).values() for name, spec in family.fields.items()}


def shrunk(parent, **fixed):
    """Return the smallest child but for what is fixed, at the parent's resolution."""
    family = Family(parent)
    smallest = {name: values[0] for name, values in choices(family).items()}
    return family.child(smallest | {"resolution": parent.resolution} | fixed)


@pytest.mark.parametrize("importance", ["scaled", "norm", "l1"])
@pytest.mark.parametrize("name", PARENTS)
def test_the_order_of_channels_does_not_matter(name, importance):
    parent = parent_of(name)
    network = build(parent)
    child = shrunk(parent)
    here = inherited(parent, child, network, importance=importance)
    mixed = build(parent, permuted(parent, network.state_dict(), seed=3))
    torch.testing.assert_close(outputs(mixed), outputs(network))
    there = inherited(parent, child, mixed.float(), importance=importance)
    torch.testing.assert_close(outputs(there), outputs(here), rtol=1e-4, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), name=st.sampled_from(PARENTS), importance=st.sampled_from(["scaled", "random"]))
def test_every_child_of_the_space_loads(data, name, importance):
    family = Family(parent_of(name))
    values = {field: data.draw(st.sampled_from(own), field) for field, own in choices(family).items()}
    child = family.child(values)
    child.check()
    weights = Inheritance(family.parent, child)(weights_of(name), importance=importance)
    with torch.device("meta"):
        expected = create_model(child, 5).state_dict()
    assert {key: tensor.shape for key, tensor in weights.items()} == {
        key: t.shape for key, t in expected.items()
    }
    assert [row.shortcut for row in blocks_of(child)] == [
        place.block.shortcut
        for places in family.stages
        for place in places[: values[f"stage{places[0].stage}.depth"]]
    ]


@pytest.mark.parametrize("name", PARENTS)
def test_the_parent_is_a_member_of_its_space(name):
    parent = parent_of(name)
    family = Family(parent)
    values = {field: own[-1] for field, own in choices(family).items() if not field.endswith(".kernel")}
    values |= {field: 0 for field in family.fields if field.endswith(".kernel")}
    assert family.child(values) == family.child({}) == parent


def test_the_most_important_channels_stay_in_their_order():
    parent = Definition.from_dict(
        {
            "name": "p",
            "resolution": 16,
            "stem_channels": 8,
            "stages": [[[3, 2, 8, 1, 2, False]]],
            "head_expansion": 1,
            "head_features": 8,
        }
    )
    weights = build(parent).state_dict()
    for block in (0, 1):  # hidden channels 5, 3 and 12 have the largest scales
        for part in ("expand.1", "depthwise.norm"):
            weights[f"stages.0.{block}.{part}.weight"][:] = 0.1
            weights[f"stages.0.{block}.{part}.weight"][[5, 3, 12]] = torch.tensor([9.0, 8.0, 7.0])
    child = with_rows(parent, lambda row, stage: {"expansion": None, "hidden": 3})
    taken = Inheritance(parent, child)(weights, importance="norm")
    for block in (0, 1):
        project = f"stages.0.{block}.project.0.weight"
        assert torch.equal(taken[project], weights[project][:, [3, 5, 12]])
        depthwise = f"stages.0.{block}.depthwise.conv.weight"
        assert torch.equal(taken[depthwise], weights[depthwise][[3, 5, 12]])


def test_gray_images_see_what_equal_channels_would():
    network = build(PARENT)
    child = build_gray = create_model(PARENT, 5, 1, ops="torch").eval()
    build_gray.load_state_dict(Inheritance(PARENT, PARENT)(network.state_dict(), in_chans=1))
    gray = torch.randn(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(child(gray), network(gray.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": PARENT.stages[:-1]}, r"3 stages of \[1, 3, 4\] blocks and the parent 'parent' 4 of"),
        ({"head_features": None}, "the head of the child has the layers"),
        (
            {"stages": (*PARENT.stages[:-1], PARENT.stages[1])},
            "a child differs in widths, depths and kernels alone",
        ),
    ],
)
def test_what_is_no_child_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        Inheritance(PARENT, PARENT.model_copy(update=change))


def test_weights_that_do_not_fit_are_refused():
    weights = build(PARENT).state_dict()
    inherit = Inheritance(PARENT, PARENT)
    with pytest.raises(UserError, match=r"stem\.0\.weight is missing"):
        inherit({name: tensor for name, tensor in weights.items() if name != "stem.0.weight"})
    with pytest.raises(UserError, match=r"of 8 channels, and its definition needs 16"):
        inherit(weights | {"stem.0.weight": weights["stem.0.weight"][:8]})
    with pytest.raises(UserError, match="takes images of 3 channels, and these have 4"):
        inherit(weights, in_chans=4)
