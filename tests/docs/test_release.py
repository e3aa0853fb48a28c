"""Changelog and citation have the version of the package."""

import re
from pathlib import Path

import yaml

import narsfast

ROOT = Path(__file__).parents[2]


def test_changelog_begins_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = [name for name in re.findall(r"^## (\S+)", text, re.M) if name != "Unreleased"]
    assert released[0] == narsfast.__version__


def test_citation_has_this_version_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == narsfast.__version__
    (paper,) = citation["references"]
    assert paper["title"].startswith("FBNetV3")
    assert paper["authors"][0] == {"family-names": "Dai", "given-names": "Xiaoliang"}
