"""Folders of emitted networks: unique, stable, and short enough for every disk."""

import itertools
from pathlib import Path

import pytest

from narsfast.cost import STATISTICS, Budget
from narsfast.pipeline._folders import family_folders


def test_usual_budgets_have_the_names_of_earlier_versions():
    assert family_folders(["macs=50M", "macs=10M:20M,params=1.5M", "recipe"], {}) == {
        "macs=50M": Path("family/macs-50M"),
        "macs=10M:20M,params=1.5M": Path("family/macs-10M-20M-params-1.5M"),
        "recipe": Path("family/recipe"),
    }


@pytest.mark.parametrize(
    "texts",
    [
        ["macs=5M,params=1500K", "macs=5M:,params=1500K"],
        ["macs=5M", "macs=5M:", "macs=:5M"],
        ["macs=1M:2M", "macs=1M,params=2M", "macs=1M:,params=2M"],
    ],
)
def test_two_budgets_have_two_folders(texts):
    budgets = list(dict.fromkeys(Budget.parse(text, STATISTICS).text() for text in texts))
    folders = family_folders(budgets, {})
    assert len(set(folders.values())) == len(budgets) > 1


def test_a_further_budget_changes_no_folder_that_there_is():
    texts = ["macs=5M", "macs=5M:", "params=5M"]
    first = family_folders(texts[:1], {})
    for further in itertools.permutations(texts[1:]):
        grown = family_folders([texts[0], *further], {})
        assert grown[texts[0]] == first[texts[0]]
        written = {text: str(folder) for text, folder in grown.items()}
        assert family_folders([*reversed(texts)], written) == grown


def test_a_folder_that_was_written_under_another_name_keeps_it():
    assert family_folders(["macs=5M:", "macs=5M"], {"macs=5M": "best/1"})["macs=5M"] == Path("best/1")
    taken = family_folders(["macs=5M"], {"macs=5M:": "family/macs-5M"})
    assert taken["macs=5M"] != Path("family/macs-5M")


def test_seven_exact_bounds_have_a_name_that_any_disk_takes(tmp_path):
    exact = [f"{name}={123_456_789_012 + i}:{123_456_789_012 + i}" for i, name in enumerate(STATISTICS[:7])]
    long = [",".join(exact), ",".join([*exact[:-1], exact[-1] + "3"])]
    folders = family_folders(long, {})
    assert max(len(folder.name) for folder in folders.values()) <= 100
    assert len(set(folders.values())) == 2
    for folder in folders.values():
        (tmp_path / folder).mkdir(parents=True)
