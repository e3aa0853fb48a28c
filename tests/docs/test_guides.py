"""The guides run: every fenced block of sh, python and yaml in docs/, in order, in one directory per page."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from narsfast import cli

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(sh|python|yaml)\n(.*?)^```$", re.M | re.S)


def run_sh(text, monkeypatch):
    for line in filter(None, text.splitlines()):
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code in (0, None), line


def run_yaml(text, directory):
    from narsfast.space import load_space

    file = directory / "space.yaml"
    file.write_text(text)
    space = load_space(file)
    genes = space.random(20, seed=0)
    assert (space.encode(space.decode(genes)) == genes).all()


PAGES = [
    pytest.param(path.name, marks=pytest.mark.exports if "torch.export" in path.read_text() else ())
    for path in sorted(DOCS.glob("*.md"))
]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("without_onnx", "always_few_steps")
def test_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    """Worker processes, which import torch, ONNX files and most steps of fits are left out; other tests have them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("narsfast.pipeline._open._default_workers", lambda config: 1)
    names = {}
    for language, text in BLOCK.findall((DOCS / page).read_text()):
        if language == "sh":
            run_sh(text, monkeypatch)
        elif language == "yaml":
            run_yaml(text, tmp_path)
        else:
            exec(compile(text, page, "exec"), names)


def test_guides_have_blocks():
    assert len(BLOCK.findall((DOCS / "search.md").read_text())) >= 4
