"""How the found networks answer by class, on the page."""

from narsfast.report import collect
from narsfast.report._confusion import MOST_CLASSES, confusion
from narsfast.report._page import render_report

from .conftest import make_run
from .test_page import Page, embedded


def test_classes_of_all_networks_are_in_one_table_the_worst_first(report):
    head, *rows = Page(report.read_text()).tables["classes"]
    assert head == ["class", "images", "macs<=1M (%)", "macs<=2M (%)", "macs<=3M (%)"]
    assert rows == [["<cat>", "20", "70.0", "80.0", "90.0"], ["@home", "10", "100.0", "100.0", "100.0"]]


def test_confused_images_stand_in_the_page(known, report):
    page = Page(report.read_text())
    for result, images in zip(known.run.results(), (6, 4, 2), strict=True):
        _, row = page.tables[f"confused-{result.candidate}"]
        assert row[:3] == ["<cat>", "@home", str(images)]
    said = "99 % sure of the wrong class", '<cat>/"1.jpg: 98 % sure of the wrong class'
    assert page.images == 3 * [("data:image/jpeg;base64,QUJD", text) for text in said]


def test_heatmap_has_percentages_of_each_class_and_a_menu(report):
    figure = embedded(report.read_text(), "report-figures")["confusion"]
    wrong, right, *others = figure["data"]
    assert wrong["z"] == [[None, 30.0, None], [None] * 3, [None] * 3]
    assert right["z"] == [[70.0, None, None], [None, 100.0, None], [None, None, None]]
    assert wrong["text"][0] == ["14", "6", ""]
    assert [trace["visible"] for trace in (wrong, right, *others)] == [True] * 2 + [False] * 4
    (menu,) = figure["layout"]["updatemenus"]
    assert [button["label"] for button in menu["buttons"]] == ["macs<=1M", "macs<=2M", "macs<=3M"]
    assert menu["buttons"][1]["args"] == ["visible", [False, False, True, True, False, False]]
    assert figure["layout"]["xaxis"]["ticktext"] == ["<cat>", "@home", "fox"]


def test_a_network_for_several_budgets_is_shown_once(known):
    data = collect(known.run)
    row = {**data["by_class"][0], "budgets": ["macs<=1M", "macs<=2M"]}
    figure = confusion({**data, "by_class": [row]})
    assert "updatemenus" not in figure["layout"]
    assert len(figure["data"]) == 2


def test_many_classes_have_no_heatmap(known, tmp_path):
    data = collect(known.run)
    one = data["by_class"][0]
    more = [
        {"name": f"c{i}", "images": 1, "correct": i % 2, "answered": 1, "accuracy": 100.0 * (i % 2)}
        for i in range(60)
    ]
    many = {**data, "by_class": [{**one, "classes": more, "confusions": [], "examples": []}]}
    assert len(more) > MOST_CLASSES
    assert confusion(many) is None
    page = Page(render_report(many, known.run.path, tmp_path / "report.html"))
    assert "figure-confusion" not in page.ids
    assert len(page.tables["classes"]) == 1 + 20
    assert any("matrix of 60 classes is not drawn" in text for text in page.text)
    assert any("no image of the test split was given a wrong class" in text for text in page.text)


def test_networks_that_an_earlier_version_tested_are_named(tmp_path):
    known = make_run(tmp_path / "run", batches=0, counted=False)
    data = collect(known.run)
    known.run.close()
    assert data["by_class"] == []
    page = Page(render_report(data, known.run.path, tmp_path / "report.html"))
    assert any("tested by a version that did not count by class" in text for text in page.text)
    assert "balanced (%)" not in page.tables["results"][0]


def test_networks_tested_before_and_after_stand_beside_each_other(known, tmp_path):
    data = collect(known.run)
    page = Page(
        render_report({**data, "by_class": data["by_class"][1:]}, known.run.path, tmp_path / "report.html")
    )
    assert any("Of macs<=1M it is not known, as an earlier version tested it." in text for text in page.text)
