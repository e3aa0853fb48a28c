"""Statistics of children, summed part by part, are those of the networks."""

import numpy as np
import pytest

from narsfast import _native
from narsfast.arch import Family, create_model, specs_of
from narsfast.common.candidate import Candidate
from narsfast.cost import STATISTICS, Counter, count_definitions, count_network
from narsfast.errors import UserError
from narsfast.space import Space

NAMES = ["efficientnet_lite0", "mobilenet_v3_small", "mobilenetv4_conv_small", "mobilenet_v2", "FBNetV3_A"]
RECIPE = {"optimizer": "sgd", "learning_rate": 0.1}


def children(names, whole=None, own=None, **changed):
    """Return the space around these parents, of the zoo or of `own`, and around networks that take part whole."""
    whole = whole or {}
    chosen = [*names, *whole]
    architecture = {"parent": {"choices": chosen} if len(chosen) > 1 else chosen[0]}
    parents = []
    for name in names:
        definition = (own or {}).get(name) or create_model(name).definition
        fields = dict(Family(definition).fields)
        architecture["resolution"] = fields.pop("resolution")
        architecture |= {f"{name}.{field}": spec for field, spec in fields.items()}
        parents.append({"reference": name, "name": name, "definition": definition.to_dict()})
    for name, reference in whole.items():
        parents.append({"reference": reference, "name": name})
    architecture |= {"resolution": {"choices": [32, 64]}} | changed
    return Space.from_dict(
        {"name": "children", "parents": parents, "architecture": architecture, "recipe": RECIPE}
    )


def exact(space, genes, in_chans=3, num_classes=10):
    definitions = [spec.source for spec in specs_of(space, space.decode(genes))]
    return count_definitions(definitions, in_chans, num_classes)


@pytest.mark.parametrize("name", NAMES)
def test_sums_of_parts_are_the_networks(name):
    space = children([name], resolution={"choices": [96, 224, 131]})
    genes = space.random(200, seed=0)
    assert (Counter(space, 1, 7)(genes) == exact(space, genes, 1, 7)).all()


def test_several_parents_have_their_own_fields():
    space = children(NAMES[:3])
    genes = space.random(300, seed=1)
    assert (Counter(space, 3, 10)(genes) == exact(space, genes)).all()
    assert len({len(candidate.architecture) for candidate in space.decode(genes)}) == 3


def test_depths_beyond_the_parent_are_counted():
    name = NAMES[0]
    depths = {"stage2": {"choices": [4, 1, 2]}, "stage1": {"range": [1, 3]}}
    space = children([name], **{f"{name}.{stage}.depth": depth for stage, depth in depths.items()})
    genes = space.random(200, seed=2)
    assert (Counter(space, 3, 10)(genes) == exact(space, genes)).all()


def test_a_fixed_child_is_counted():
    space = children([NAMES[0]], resolution=224)
    whole = space.fix({name: space.values(name)[-1] for field in space.fields for name in field.fills})
    genes = whole.random(1, seed=0)
    assert (Counter(whole, 3, 1000)(genes) == exact(whole, genes, 3, 1000)).all()


def test_networks_that_are_no_definitions_take_part_whole():
    whole = {"resnet": "torchvision:resnet18"}
    space = children(NAMES[:1], whole)
    genes = space.random(100, seed=3)
    counts = Counter(space, 3, 10)(genes)
    seen = set()
    for candidate, row in zip(space.decode(genes), counts.tolist(), strict=True):
        if candidate.architecture["parent"] == "resnet":
            assert candidate.architecture.keys() == {"parent", "resolution"}
            side = candidate.architecture["resolution"]
            if side in seen:
                continue
            seen.add(side)
            (spec,) = specs_of(space, [candidate])
            assert spec.source == "torchvision:resnet18"
            known = count_network(spec.build(10), 3, side, 10)
            counted = dict(zip(STATISTICS, row, strict=True))
            assert {name: counted[name] for name in known} == known
            assert counted["depth"] == 21  # 20 convolutions and the classifier
    assert seen == {32, 64}


def test_candidates_survive_a_round_trip():
    space = Space.from_dict(children(NAMES[:2]).to_dict())
    genes = space.random(50, seed=4)
    assert (space.encode(space.decode(genes)) == genes).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"parent": "resnet18"}, "parent is 'resnet18'; it must be one of efficientnet_lite0"),
        ({"efficientnet_lite0.stage9": 3}, "efficientnet_lite0.stage9 is 3; there is no such field"),
        ({"other.stage1.depth": 3}, "other.stage1.depth is 3; there is no such field"),
        ({"efficientnet_lite0.stage1.kernel": 4}, "stage1.kernel is 4; it must be an odd whole number"),
        ({"efficientnet_lite0.stem.width": 0}, "stem.width is 0; it must be a percentage"),
        ({"resolution": 4}, "resolution is 4; it must be a whole number of pixels from 8"),
        (
            {"efficientnet_lite0.stage1.depth": {"range": [1, 2], "when": {"resolution": 64}}},
            "depend on parent by",
        ),
    ],
)
def test_what_is_no_space_of_children_is_refused(changed, message):
    with pytest.raises(UserError, match=message):
        children(NAMES[:1], **changed)


def test_two_parents_of_one_name_are_refused():
    with pytest.raises(UserError, match="two parents are named 'resnet18'; give one of them another name"):
        Space.from_dict(
            {
                "name": "twice",
                "parents": ["timm:resnet18", "torchvision:resnet18"],
                "architecture": {"parent": "resnet18", "resolution": 64},
            }
        )


def reference(space, parts, terms, gates, entries, largest, genes):
    """Count as `_native.PartCounter`."""
    result = np.zeros((len(genes), entries.shape[1]))
    for row, gene in enumerate(genes.astype(int)):
        found = []
        for first_term, last_term, first_gate, last_gate, entry in parts:
            if all(low <= gene[column] <= high for column, low, high in gates[first_gate:last_gate]):
                place = entry + sum(gene[column] * step for column, step in terms[first_term:last_term])
                found.append(entries[place])
        result[row] = np.sum(found, axis=0) if found else 0
        if largest >= 0:
            result[row, largest] = max([entry[largest] for entry in found], default=0)
    return result


FLAT = Space.from_dict(
    {
        "name": "flat",
        "architecture": {"a": {"choices": [1, 2, 3]}, "b": {"choices": [5, 6]}, "c": {"range": [1, 4]}},
    }
)
ARRAYS = {
    "parts": np.array([[0, 2, 0, 0, 0], [2, 3, 0, 1, 6], [3, 3, 1, 3, 1]], np.int32),
    "terms": np.array([[0, 2], [1, 1], [2, 1]], np.int32),
    "gates": np.array([[0, 1, 2], [1, 0, 0], [2, 2, 3]], np.int32),
    "entries": np.random.default_rng(0).integers(0, 100, (10, 3)).astype(float),
}


@pytest.mark.parametrize("largest", [-1, 1])
def test_native_counter_equals_its_reference(largest):
    genes = FLAT.random(200, seed=0)
    counter = _native.PartCounter(FLAT.tables(), **ARRAYS, largest=largest)
    expected = reference(FLAT, *ARRAYS.values(), largest, genes)
    np.testing.assert_array_equal(counter.count(genes), expected)
    assert len(np.unique(expected)) > 20


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"parts": np.zeros((2, 4), np.int32)}, r"parts must be \(parts, 5\)"),
        ({"terms": np.array([[3, 1]] * 3, np.int32)}, "a term is of a field that does not exist"),
        ({"terms": np.array([[-1, 1]] * 3, np.int32)}, "a term is of a field that does not exist"),
        ({"terms": np.array([[0, -1]] * 3, np.int32)}, "step below 0"),
        ({"terms": np.array([[0, 2**30]] * 3, np.int32)}, "too few entries"),
        ({"gates": np.array([[9, 0, 0]] * 3, np.int32)}, "a gate is of a field that does not exist"),
        ({"parts": np.array([[0, 4, 0, 0, 0]], np.int32)}, "terms or gates that do not exist"),
        ({"parts": np.array([[2, 1, 0, 0, 0]], np.int32)}, "terms or gates that do not exist"),
        ({"parts": np.array([[0, 0, 0, 0, -1]], np.int32)}, "too few entries"),
        ({"parts": np.array([[0, 0, 0, 0, 10]], np.int32)}, "too few entries"),
        ({"entries": np.zeros((0, 3))}, "too few entries"),
        ({"largest": 3}, "with a column of largest entries"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        _native.PartCounter(FLAT.tables(), **({**ARRAYS, "largest": 1} | changed))


def test_candidates_of_no_space_are_refused():
    space = children(NAMES[:1])
    with pytest.raises(UserError, match="missing"):
        space.encode([Candidate({"parent": NAMES[0]}, RECIPE)])
