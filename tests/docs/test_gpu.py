"""The page on GPUs lists every test that needs one."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
WHOLE_FILE = re.compile(r"^pytestmark = .*?pytest\.mark\.gpu", re.M | re.S)
TEST = re.compile(r"((?:^@.*\n(?:[ )].*\n)*)*)^def (test_\w+)", re.M)


def marked():
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        if "pytest.mark.gpu" in text and path != Path(__file__):
            everything = WHOLE_FILE.search(text) is not None
            yield from (name for above, name in TEST.findall(text) if everything or "mark.gpu" in above)


def test_page_lists_every_gpu_test():
    page = (ROOT / "docs" / "gpu.md").read_text()
    assert set(marked()) == set(re.findall(r"^\| `(test_\w+)`", page, re.M))
