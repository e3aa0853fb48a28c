"""Loading of space files and built-in spaces."""

import json
import textwrap

import pytest

from narsfast.errors import UserError
from narsfast.space import Candidate, Recipe, Space, builtin_spaces, load_space, read_recipe
from narsfast.space._yaml import read_yaml

SIZES = {  # architectures, recipes; multiplied by hand from the ranges of the files
    "fbnetv3": (
        7 * 5 * (5 * 2 * (1 + 3 * 2)) * (4 * 2 * 4 * 4 * 8) * (7 * 2 * 4 * 4 * 8) * (8 * 2 * 4 * 5 * 8)
        * (13 * 2 * 4 * 5 * 8) * (12 * 2 * 4 * 5 * 8) * (16 * 2),
        2 * 11 * 15 * 42 * 31 * 22 * 2,
    ),
    "tiny": (
        2 * (3 * 2 * 2) * (4 * 2 * 5 * (1 + 2 * 6)) * (8 * 2 * 2 * 2 * 5 * (1 + 2 * 6))
        * (12 * 2 * 2 * 5 * (1 + 1 * 6)) * (3 * 2),
        2 * 8 * 10 * 5 * 4 * 5 * 2,
    ),
    "mobile": (
        8 * 2 * (2 * 2 * 2 * (1 + 1 * 2)) * (3 * 2 * 5 * (1 + 2 * 8)) * (4 * 2 * 2 * 5 * (1 + 2 * 8))
        * (6 * 2 * 2 * 2 * 5 * (1 + 2 * 8)) * (8 * 2 * 5 * (1 + 2 * 8))
        * (11 * 2 * 2 * 5 * (1 + 2 * 8)) * (3 * 3),
        2 * 7 * 10 * 5 * 7 * 4 * 2,
    ),
}  # fmt: skip


def test_builtin_spaces_are_listed():
    assert builtin_spaces() == ("fbnetv3", "mobile", "tiny")


@pytest.mark.parametrize("name", builtin_spaces())
def test_builtin_space_has_its_size_pool_and_budgets(name):
    space = load_space(name)
    architectures, recipes = SIZES[name]
    assert space.name == name
    assert space.size() == architectures * recipes
    candidate = space.decode(space.random(1, 0))[0]
    assert space.only_architecture(candidate.recipe).size() == architectures
    assert space.only_recipe(candidate.architecture).size() == recipes
    assert Recipe.of(candidate.recipe).model_dump() == Recipe().model_dump() | dict(candidate.recipe)
    assert set(space.pool) == {"macs"}
    assert all(
        space.pool["macs"][0] <= budget["macs"][1] <= space.pool["macs"][1] for budget in space.budgets
    )
    assert len(space.budgets) >= 3


def test_size_of_fbnetv3_is_that_of_its_comment():
    assert SIZES["fbnetv3"] == (5_883_266_817_903_820_800_000, 18_905_040)


# From the released definitions: resolution, stem, then per stage depth, channels,
# (kernel, expansion) of the first block and of the rest.
RELEASED = {
    "B": (248, 16, [(2, 16, (3, 1), (3, 1)), (4, 24, (5, 4), (5, 2)), (5, 40, (5, 5), (5, 3)),
                    (5, 72, (5, 5), (3, 3)), (6, 120, (3, 5), (5, 3)), (6, 184, (3, 6), (5, 4)),
                    (1, 224, (5, 6), None)]),
    "C": (248, 16, [(2, 16, (3, 1), (3, 1)), (5, 24, (5, 5), (3, 3)), (5, 48, (5, 5), (5, 2)),
                    (5, 88, (5, 4), (3, 3)), (6, 120, (3, 4), (5, 3)), (6, 216, (5, 5), (5, 5)),
                    (1, 216, (5, 6), None)]),
    "D": (248, 24, [(2, 16, (3, 1), (3, 1)), (6, 24, (3, 5), (3, 2)), (5, 40, (5, 4), (3, 3)),
                    (5, 72, (3, 5), (3, 3)), (7, 128, (3, 5), (5, 3)), (6, 208, (3, 6), (5, 5)),
                    (1, 240, (5, 6), None)]),
    "E": (264, 24, [(3, 16, (3, 1), (3, 1)), (5, 24, (5, 4), (5, 2)), (5, 48, (5, 4), (5, 3)),
                    (5, 80, (5, 5), (3, 3)), (8, 128, (3, 5), (5, 3)), (6, 216, (3, 6), (5, 5)),
                    (1, 240, (5, 6), None)]),
}  # fmt: skip


def released(name):
    resolution, stem, stages = RELEASED[name]
    values = {"resolution": resolution, "stem.channels": stem, "head.expansion": 6, "head.features": 1984}
    for number, (depth, channels, first, rest) in enumerate(stages, start=1):
        stage = {"depth": depth, "channels": channels, "stride": 2 if number in (2, 3, 4, 6) else 1}
        stage |= {"se": number in (3, 5, 6, 7), "kernel.first": first[0], "expansion.first": first[1]}
        if rest:
            stage |= {"kernel.rest": rest[0], "expansion.rest": rest[1]}
        values |= {f"stage{number}.{key}": value for key, value in stage.items()}
    return values


@pytest.mark.parametrize("name", ["B", "D", "E"])
def test_fbnetv3_contains_released_networks(name):
    space = load_space("fbnetv3")
    recipe = space.decode([[0] * len(space.fields)])[0].recipe
    candidate = Candidate(released(name), recipe)
    assert space.decode(space.encode([candidate])) == [candidate]


def test_fbnetv3_contains_network_c_only_with_a_wider_stage():
    with pytest.raises(UserError, match=r"stage4.channels is 88; it must be 56 to 84 in steps of 4"):
        load_space("fbnetv3").only_recipe(released("C"))
    wider = load_space("fbnetv3", {"stage4": {"channels": {"range": [56, 88, 4]}}})
    assert wider.only_recipe(released("C")).size() == SIZES["fbnetv3"][1]


@pytest.mark.parametrize("name", builtin_spaces())
def test_every_range_can_be_overridden(name):
    space = load_space(name)
    for field in space.fields:
        if field.kind == "fixed":
            continue
        narrowed = load_space(name, {field.name: {"choices": list(field.values[:1])}})
        assert narrowed.field(field.name).kind == "fixed"
        assert narrowed.size() < space.size()


FILE = """
name: mine
architecture:
  resolution: {choices: [32, 48]}
  stem: {channels: 8}
  stages:
    - {depth: {range: [1, 2]}, channels: {range: [8, 24, 8]}, stride: 1, se: false,
       kernel: {first: {choices: [3, 5], share: k}, rest: {choices: [3, 5], share: k}},
       expansion: {first: 1, rest: 1}}
  head: {expansion: 6, features: 64}
recipe:
  optimizer: {choices: [rmsprop, sgd]}
  weight_decay: {range: [1, 3], unit: 1e-5}
  learning_rate: 2e-3
  momentum: {choices: [0.8, 0.9], when: {optimizer: sgd}}
  ema: {choices: [on, off]}
pool: {macs: [0.1M, 3M]}
budgets: [{macs: 1M, params: 50K}]
"""


def test_file_is_loaded_and_survives_json(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    space = load_space(path)
    assert space == load_space(str(path))
    assert space.size() == 2 * 2 * 3 * 2 * (3 * 2) * (1 + 2)
    assert space.field("k").fills == ("stage1.kernel.first", "stage1.kernel.rest")
    assert space.values("weight_decay") == (1e-5, 2e-5, 3e-5)
    assert space.values("learning_rate") == (0.002,)
    assert space.values("ema") == (True, False)
    assert space.budgets == ({"macs": (0, 1e6), "params": (0, 5e4)},)
    written = tmp_path / "again.json"
    written.write_text(json.dumps(space.to_dict()))
    assert load_space(written) == space


def test_override_may_remove_the_value_of_a_condition(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    space = load_space(path, {"recipe": {"optimizer": "rmsprop"}})
    assert space.field("momentum").kind == "fixed"
    assert "momentum" not in space.decode(space.random(1, 0))[0].recipe


@pytest.mark.parametrize(
    ("old", "new", "where", "remedy"),
    [
        ("range: [8, 24, 8]", "range: [8, 30, 8]", "stage1.channels.range is [8, 30, 8]", "use 24 or 32"),
        ("optimizer: sgd", "optimizer: sdg", "momentum.when.optimizer is 'sdg'", "'rmsprop' or 'sgd'"),
        ("optimizer: sgd", "optimizer: '> 3'", "momentum.when.optimizer is '> 3'", "'rmsprop' or 'sgd'"),
        ("stride: 1", "strde: 1", "stage1.strde is 1", "there is no such field"),
        ("rmsprop, sgd", "rmsprop, adam", "recipe.optimizer is 'adam'", "'rmsprop', 'sgd',"),
        ("3M", "3T", "pool.macs is ['0.1M', '3T']", "a number of at least 0"),
        ("name: mine", "name: mine\nname: yours", "'name' is given twice", "keep one"),
        ("stem: {channels: 8}", "stem: {channels: 8", "not readable as YAML in line", ""),
        (
            FILE[FILE.index("recipe:") : FILE.index("pool:")],
            "recipe: exotic\n",
            "recipe is 'exotic'",
            "extended, paper",
        ),
        (FILE.strip(), "- 1", "mine.yaml is [1]", "a mapping of name"),
        (FILE.strip(), "", "mine.yaml is empty", "a mapping of name"),
        (FILE.strip(), "# nothing", "mine.yaml is empty", "a mapping of name"),
        ("name: mine", "name: {{mine}}", "a key is a list or a mapping", "quote text with braces"),
        ("name: mine", "? [1, 2]\n: 3\nname: mine", "a key is a list or a mapping", "line 2"),
        ("name: mine", "name: 2026-13-45", "a value has a wrong form (month must be", ""),
        ("name: mine", f"name: {'9' * 5000}", "a value has a wrong form", ""),
        ("name: mine", "name: !!int x", "a value has a wrong form", ""),
        ("name: mine", f"name: {'[' * 5000}", "too deeply nested", "fewer levels"),
        ("range: [8, 24, 8]", "range: [0, 2000000000]", "2,000,000,001 values", "at most 32,767"),
        ("range: [8, 24, 8]", f"range: [0, {10**30}]", "values; it must have", "at most 32,767"),
    ],
)
def test_wrong_file_is_refused_with_field_value_and_remedy(tmp_path, old, new, where, remedy):
    path = tmp_path / "mine.yaml"
    path.write_text(FILE.replace(old, new))
    assert old in FILE
    with pytest.raises(UserError) as error:
        load_space(path)
    assert str(error.value).startswith("mine.yaml")
    assert where in str(error.value)
    assert remedy in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n"
        + "".join(
            f"{n}: &{n} [{', '.join([f'*{m}'] * 10)}]\n" for m, n in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "a: &a [*a]",
        "a: &a {b: *a, c: *a}",
    ],
    ids=["laughs", "list in itself", "mapping in itself"],
)
def test_flood_of_aliases_is_refused(text):
    """Asked of the reader alone, which is done at once also where it lets a flood pass; what would follow is not."""
    with pytest.raises(
        UserError, match=r"mine\.yaml: .*more than 100,000 values with its aliases; write fewer"
    ):
        read_yaml(text, "mine.yaml")


@pytest.mark.parametrize("read", [load_space, read_recipe])
def test_spaces_and_recipes_are_read_by_the_careful_reader(tmp_path, read):
    path = tmp_path / "mine.yaml"
    path.write_text("a: &a [*a]")
    with pytest.raises(UserError, match="more than 100,000 values with its aliases; write fewer"):
        read(path)


def test_unknown_space_is_refused_with_the_builtin_names(tmp_path):
    with pytest.raises(
        UserError, match=r"the space is 'tinny' .*; it must be .* one of fbnetv3, mobile, tiny"
    ):
        load_space("tinny")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"- 1", "is a list"),
        (b"", "is empty"),
        (b"# nothing", "is empty"),
        (b"fast", "is 'fast'"),
        (b"3", "is 3"),
    ],
)
def test_recipe_that_is_no_mapping_is_refused(tmp_path, content, said):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=f"mine.yaml' {said}; write fields and values, such as learning_rate: 0.01"
    ):
        read_recipe(path)


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda path: path.write_bytes(b"\xff\xfe bad"), "no text in UTF-8"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: None, "No such file or directory"),
    ],
)
def test_space_that_cannot_be_read_is_refused_with_the_reason(tmp_path, write, why):
    path = tmp_path / "mine.yaml"
    write(path)
    with pytest.raises(
        UserError, match=rf"mine.yaml' \({why}\); it must be a readable YAML file or one of fbnetv3"
    ):
        load_space(path)


def test_space_without_network_is_loaded(tmp_path):
    path = tmp_path / "table.yaml"
    path.write_text(
        textwrap.dedent(
            """
            name: table
            architecture:
              op1: {choices: [skip, conv, pool]}
              op2: {choices: [skip, conv, pool]}
            recipe:
              schedule: {choices: [cosine, const]}
            """
        )
    )
    space = load_space(path)
    assert (space.stages, space.size()) == (0, 18)
    assert Space.from_dict(space.to_dict()) == space
