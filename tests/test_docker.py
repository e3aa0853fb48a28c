"""What can be known of the Docker files without an engine."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def copied(file):
    """What a Docker file copies from the repository."""
    text = file.read_text().replace("\\\n", " ")
    lines = re.findall(r"^COPY (?!--from)(.*)$", text, re.M)
    return [source for line in lines for source in line.split()[:-1]]


def test_both_images_are_there():
    assert [file.name for file in FILES] == ["cpu.Dockerfile", "cuda.Dockerfile"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_everything_copied_exists_and_is_not_ignored(file):
    let_in = {
        line[1:] for line in Path(f"{file}.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    sources = copied(file)
    assert {"csrc", "narsfast", "CMakeLists.txt", "pyproject.toml"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source in let_in, source


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_entry_point_is_our_command(file):
    assert 'ENTRYPOINT ["narsfast"]' in file.read_text()
    assert re.search(r'^narsfast = "narsfast\.cli:main"', (ROOT / "pyproject.toml").read_text(), re.M)
