"""The tables of docs/recipes.md: every field with its default, and its values in the extended and finetune spaces."""

import json
import re
from pathlib import Path

import pytest

from narsfast.space import Recipe, default_recipe, load_space, with_recipe_space
from narsfast.training import default_epochs

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
SOURCES = ("released code", "recalled", "ours")


def rows(page=PAGE):
    table = page.partition("| field |")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]
    return {row[0].strip("`"): row[1:] for row in cells}


def written(value):
    return value if isinstance(value, str) else json.dumps(value)


def test_table_lists_every_field_in_order():
    assert list(rows()) == list(Recipe.model_fields)


@pytest.mark.parametrize("name", Recipe.model_fields)
def test_row_has_default_values_and_source(name):
    default, meaning, extended, source = rows()[name]
    assert default == f"`{written(Recipe.model_fields[name].default)}`"
    assert len(meaning) > 10
    assert source in SOURCES
    own = load_space("tiny")
    if extended == "not searched":
        assert name not in with_recipe_space(own, "extended").to_dict()["recipe"]
        return
    values = with_recipe_space(own, "extended").values(name)
    if extended == "as the space":
        assert values == own.values(name)
    else:
        assert {written(value) for value in values} == set(re.findall(r"`(\S+?)`", extended))


def test_table_of_fine_tuning_has_every_field_with_its_default_and_values():
    space = with_recipe_space(load_space("tiny"), "finetune")
    table = rows(PAGE.partition("## Fine-tuning")[2])
    assert list(table) == list(space.to_dict()["recipe"])
    for name, (default, values, reason) in table.items():
        assert default == f"`{written(getattr(default_recipe('finetune'), name))}`", name
        shown = sorted(written(value) for value in space.values(name))
        assert sorted(re.findall(r"`(\S+?)`", values)) == shown, name
        assert "ours" in reason or "released code" in reason, name


def test_default_epochs_are_as_the_page_says():
    sentence = PAGE.replace("\n", " ").partition(" images make ")
    text = sentence[0].rpartition(" ")[2] + sentence[1] + sentence[2].partition(".")[0]
    numbers = [int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", text)]
    assert len(numbers) == 12
    for images, trial, final in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        assert default_epochs(images, "parent", "trial") == trial
        assert default_epochs(images, "parent", "final") == final
