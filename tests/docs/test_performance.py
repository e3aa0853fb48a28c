"""The pages on performance and quality show the numbers of the result files."""

import pytest

from bench.render_docs import DOCS, PAGES, RESULTS, part, updated

PATHS = [DOCS / page for page in PAGES]
NAMES = sorted({path.stem for path in RESULTS.glob("*.json")} - {"cuda_registers"})
"""The pages link to the file of registers and spills."""


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_pages_show_the_current_results(path):
    """If this fails, run python -m bench.render_docs."""
    assert updated(path.read_text()) == path.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_result_has_its_figures_on_a_page(name):
    assert any(f"<!-- {name}.figures -->\n| figure | value |" in path.read_text() for path in PATHS)


def test_text_under_a_mark_is_replaced():
    page = "Text.\n\n<!-- optimizer.figures -->\n| old |\n| table |\n\nMore.\n"
    assert updated(page) == f"Text.\n\n<!-- optimizer.figures -->\n{part('optimizer', 'figures')}\n\nMore.\n"
