"""The table of docs/recipes.md has every field of a recipe with its default and its values in the extended space."""

import json
import re
from pathlib import Path

import pytest

from narsfast.space import Recipe, load_space, with_recipe_space

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
SOURCES = ("released code", "recalled", "ours")


def rows():
    table = PAGE.partition("| field |")[2].partition("\n\n")[0]
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
