import json
import re
from html.parser import HTMLParser

import pytest

from narsfast.report import collect, write_report
from narsfast.report._figures import FIGURES, log_ticks
from narsfast.report._page import render_report

from .conftest import EPOCHS, SIZE, STOP, make_run


class Page(HTMLParser):
    """Tables by id, links, texts, ids and external resources of a page."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.links, self.ids, self.external, self.text = {}, [], set(), [], []
        self.images = []
        self._table = self._cell = None
        self._skip = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.ids.add(named.get("id"))
        loaded = named.get("src") or (named.get("href") if tag == "link" else None)
        if loaded and not loaded.startswith("data:"):
            self.external.append(loaded)
        if tag == "img":
            self.images.append((named["src"], named["alt"]))
        if tag == "a":
            self.links.append(named["href"])
        if tag == "table":
            self._table = self.tables.setdefault(named.get("id"), [])
        if tag == "tr":
            self._table.append([])
        if tag in ("td", "th"):
            self._table[-1].append("")
            self._cell = True
        self._skip = tag in ("script", "style")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = None
        self._skip = False

    def handle_data(self, data):
        if self._cell:
            self._table[-1][-1] += data
        elif not self._skip:
            self.text.append(data)


def embedded(text, identifier):
    return json.loads(
        re.search(rf'<script type="application/json" id="{identifier}">(.*?)</script>', text, re.S)[1]
    )


@pytest.fixture(scope="session")
def page(report):
    return report.read_text()


def test_page_of_a_finished_run_is_complete(page):
    assert 'class="missing"' not in page


def test_embedded_data_are_those_of_the_run(collected, page):
    rows = [{k: v for k, v in row.items() if k != "examples"} for row in collected["by_class"]]
    assert embedded(page, "report-data") == json.loads(json.dumps(collected | {"by_class": rows}))


def test_figures_show_the_trials(known, page):
    figures = embedded(page, "report-figures")
    assert set(figures) == set(FIGURES)
    points = [trace for trace in figures["prediction"]["data"] if trace["mode"] == "markers"]
    assert [trace["x"] for trace in points] == [
        pytest.approx(known.scores[1]),
        pytest.approx(known.scores[2]),
    ]
    assert [trace["y"] for trace in points] == [
        pytest.approx(known.labels[1]),
        pytest.approx(known.labels[2]),
    ]
    trials = [trace for trace in figures["macs"]["data"] if trace["name"].startswith("trials")]
    assert sum(len(trace["x"]) for trace in trials) == 3 * SIZE
    found = {
        trace["name"]: trace["y"] for trace in figures["macs"]["data"] if trace["name"].startswith("found")
    }
    assert found["found networks, test"] == [95.25, 96.25, 97.25]
    assert found["found networks, validation"] == [96.0, 97.0, 98.0]
    assert len(figures["curves"]["data"]) == 3 * SIZE
    assert figures["curves"]["layout"]["shapes"][0]["x0"] == STOP
    measured, corrected = figures["early-stop"]["data"]
    assert (len(measured["y"]), corrected["y"][:2]) == (EPOCHS, [0.7, 0.8])
    assert [len(figures[name]["data"]) for name in ("losses", "final-losses")] == [3 * SIZE, 2 * 3]
    validation, training = figures["final-losses"]["data"][:2]
    assert (validation["y"][0], training["y"][0]) == (None, 2.0)
    assert (validation["line"]["dash"], training["line"]["dash"]) == ("solid", "dot")
    taus = {trace["name"]: trace["y"] for trace in figures["fits"]["data"]}
    assert taus["predictor"] == pytest.approx([0.4, 0.5, 0.6])
    assert taus["parameters alone"] == [0.31] * 3
    bars = {trace["name"]: trace["y"] for trace in figures["batches"]["data"]}
    assert len(bars["picked by the predictor"]) == 2
    assert len(set(bars["random batch of the same size"])) == 1


def test_axes_have_titles(page):
    for name, figure in embedded(page, "report-figures").items():
        assert figure["layout"]["xaxis"]["title"]["text"], name
        assert name == "importance" or figure["layout"]["yaxis"]["title"]["text"], name


def test_ticks_of_epochs_are_integers(page):
    figures = embedded(page, "report-figures")
    assert [figures[name]["layout"]["xaxis"]["dtick"] for name in ("curves", "early-stop", "finals")] == [
        1,
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((6e5, 1.3e6), [6e5, 7e5, 8e5, 9e5, 1e6, 1.2e6]),
        ((1e6, 1e9), [1e6, 1e7, 1e8, 1e9]),
        ((2e6, 1.5e8), [3e6, 1e7, 3e7, 1e8]),
    ],
)
def test_log_ticks_are_few_and_round(ends, expected):
    assert [tick for tick in log_ticks(*ends) if ends[0] <= tick <= ends[1]] == pytest.approx(expected)


def test_plotly_accepts_the_figures(page):
    import plotly.graph_objects as go

    text = json.dumps(embedded(page, "report-figures")).replace('"@accent"', '"#000"')
    for figure in json.loads(re.sub(r'"@\w+"', '"#123456"', text)).values():
        go.Figure(figure)


def test_table_has_the_results_with_working_links(page, report):
    parsed = Page(page)
    head, *rows = parsed.tables["results"]
    assert head[:3] == ["budget", "MACs", "params"]
    assert rows[0][:7] == ["macs<=1M", "900,000", "30,000", "90.50", "96.00", "95.25", "85.00"]
    assert len(rows) == 3
    from urllib.parse import unquote

    files = [link for link in parsed.links if not link.startswith("#")]
    assert len(files) == 6  # README.md and weights.safetensors of three networks; other files do not exist
    for link in files:
        assert (report.parent / unquote(link)).exists(), link


def test_baselines_are_in_the_table_and_the_figure(known, tmp_path):
    good = {"model": "torchvision:<net>", "resolution": 32, "epochs": 12, "macs": 5_000_000, "params": 700}
    good |= {
        "validation": 88.0,
        "test": 12.25,
        "balanced_accuracy": 11.5,
        "outcome": "ok",
        "message": "",
        "directory": "baselines/n",
    }
    bad = {**good, "model": "bad", "outcome": "failed", "message": "too small"}
    bad |= dict.fromkeys(("macs", "params", "validation", "test", "balanced_accuracy"))
    data = collect(known.run) | {"baselines": [good, bad]}
    page = Page(render_report(data, known.run.path, tmp_path / "report.html"))
    *_, first, second = page.tables["results"]
    assert first[:3] == ["baseline torchvision:<net>, 32 px", "5,000,000", "700"]
    assert first[-4:] == ["88.00", "12.25", "11.50", "baselines/n"]
    assert second[-1] == "failed: too small"
    assert any("one standard recipe" in text for text in page.text)
    figure = FIGURES["macs"](data)
    (trace,) = [trace for trace in figure["data"] if trace["name"] == "baselines, test"]
    assert (trace["x"], trace["y"]) == ([5_000_000], [12.25])
    low, high = figure["layout"]["yaxis"]["range"]
    assert low < 12.25 < high


def test_sections_are_linked(page):
    parsed = Page(page)
    inner = {link[1:] for link in parsed.links if link.startswith("#")}
    assert len(inner) == 10
    assert inner <= parsed.ids


def test_page_makes_no_network_requests(page):
    assert Page(page).external == []
    style = re.search(r"<style>(.*?)</style>", page, re.S)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_text_of_the_run_is_escaped(page):
    assert "<h1>run &lt;b&gt;&amp;</h1>" in page
    assert "loss is &lt;not&gt; a number" in page
    assert "loss is <not>" not in page


def marked(value):
    """Append an element to every text of JSON types."""
    if isinstance(value, dict):
        return {key: marked(part) for key, part in value.items()}
    if isinstance(value, list):
        return [marked(part) for part in value]
    return f"{value}<q>" if isinstance(value, str) else value


def test_every_text_of_a_strangers_run_is_escaped(known, collected, tmp_path, monkeypatch):
    texts = {name: value for name, value in collected.items() if name not in ("config", "importance")}
    config = {name: marked(value) for name, value in collected["config"].items() if name != "space"}
    found = {
        **collected,
        **marked(texts),
        "config": config | {"space": {"name": "<q>"}, "correlation": "kendall"},
    }
    monkeypatch.setattr("narsfast.report._page.collect", lambda _: found)
    write_report(known.run, tmp_path / "page.html")
    page = re.sub(r"<script.*?</script>", "", (tmp_path / "page.html").read_text(), flags=re.S)
    assert page.count("&lt;q&gt;") > 50
    assert "<q>" not in page


def test_numbers_in_the_text_are_those_of_the_run(collected, page):
    text = " ".join(" ".join(Page(page).text).split())
    assert f"{2 * SIZE} trials, Kendall tau {collected['prediction']['tau']:.3f}" in text
    assert "end at epoch 5: it ranks the first batch like the last epoch" in text
    assert "with Spearman's correlation 0.80, 1.00 without the noise of the labels (threshold 0.92)" in text
    assert "vary by 5.75 points between candidates, of which 2.25 are noise" in text
    assert "first batch is a random sample of the pool" in text
    assert f"1 of {3 * SIZE} trials did not end well" in text


@pytest.mark.parametrize(
    ("stage", "missing"),
    [
        ({"batches": 0, "results": 0, "full_config": False}, 10),
        ({"batches": 1, "results": 0, "fits": False}, 6),
        ({"batches": 3, "results": 0}, 3),
        ({"batches": 3, "results": 3, "counted": False}, 1),
        ({"batches": 3, "results": 3, "metrics": False, "decided": False}, 0),
    ],
)
def test_page_of_a_partial_run_notes_missing_content(tmp_path, stage, missing):
    known = make_run(tmp_path / "run", **stage)
    text = write_report(known.run, tmp_path / "report.html").read_text()
    known.run.close()
    assert text.count('class="missing"') == missing, re.findall(r'class="missing">(.*?)<', text)
    figures = embedded(text, "report-figures")
    places = {
        identifier.removeprefix("figure-")
        for identifier in Page(text).ids
        if (identifier or "").startswith("figure-")
    }
    assert set(figures) == places


def test_write_report_replaces_the_file(tmp_path):
    known = make_run(tmp_path / "run", batches=0, results=0)
    path = tmp_path / "report.html"
    path.write_text("old")
    assert write_report(known.run, path) == path
    assert path.read_text().startswith("<!doctype html>")
    known.run.close()
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["report.html"]
