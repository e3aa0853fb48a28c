"""The page in a real browser."""

import re
import shutil
import subprocess

import pytest

from narsfast.report._figures import FIGURES

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium found; install Debian's package chromium"
)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
    "--virtual-time-budget=5000",
    "--dump-dom",
)


def browse(path, profile):
    """Return the document after its scripts ran, and the messages of the console."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", path.as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return ended.stdout, [line for line in ended.stderr.splitlines() if "CONSOLE" in line]


def test_browser_draws_every_figure_without_messages(report, tmp_path):
    document, console = browse(report, tmp_path / "profile")
    assert console == []
    assert f'data-drawn="{len(FIGURES)}"' in document
    assert len(re.findall(r'<div class="figure js-plotly-plot"', document)) == len(FIGURES)
    assert (
        document.count('class="scatterlayer mlayer"') >= len(FIGURES) - 3
    )  # the others are bars and a heatmap


def test_browser_reports_errors(tmp_path):
    path = tmp_path / "broken.html"
    path.write_text("<!doctype html><title>x</title><script>undefinedName()</script>")
    _, console = browse(path, tmp_path / "profile")
    assert any("undefinedName" in line for line in console)
