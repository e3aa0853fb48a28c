"""What an emitted folder says by class."""

import base64
import io
import json
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from PIL import Image

from narsfast.arch import create
from narsfast.emit import Origin, describe_data, emit
from narsfast.emit import _emission as emission
from narsfast.emit._class_card import CONFUSED, WORST, class_json
from narsfast.emit._contact_sheet import contact_sheet
from narsfast.emit._markdown import as_code, as_text
from narsfast.emit._onnx import OnnxCheck
from narsfast.runs import ClassCounts, ClassResults, ConfusedImage, Confusion

from .conftest import DEFINITION, RECIPE, measurements

pytestmark = pytest.mark.usefixtures("without_onnx")


def thumbnail(size, level):
    content = io.BytesIO()
    Image.new("L", size, level).save(content, "JPEG")
    return base64.b64encode(content.getvalue()).decode()


def results(classes=10):
    counts = [ClassCounts(f"class {i}", 20, 20 - i % 20, 20) for i in range(classes)]
    confusions = [Confusion(i, 0, i, ()) for i in range(classes - 1, 0, -1)]
    images = tuple(ConfusedImage(i, 90.0 - i, thumbnail((96, 48), 60 * i)) for i in range(3))
    confusions[0] = replace(confusions[0], examples=images)
    confusions[1] = replace(confusions[1], examples=images[:1])
    return ClassResults(tuple(counts), tuple(confusions))


def emitted(folder, digits, **changed):
    found = replace(measurements(), **changed)
    return emit(folder, create(DEFINITION, 10, 1), RECIPE, describe_data(digits), found)


def test_folder_has_counts_table_and_picture(tmp_path, digits):
    known = results()
    emission = emitted(tmp_path / "found", digits, by_class=known)
    manifest = json.loads((tmp_path / "found" / "emission.json").read_text())
    assert manifest["balanced_accuracy"] == known.balanced_accuracy == 77.5
    assert [row["accuracy"] for row in manifest["by_class"]] == [100 - 5 * i for i in range(10)]
    assert manifest["confusions"][0] == {"class": "class 9", "answer": "class 0", "images": 9}
    assert "confused.jpg" in emission.files
    assert manifest["sha256"].keys() >= {"confused.jpg"}
    card = (tmp_path / "found" / "README.md").read_text()
    assert "| test, balanced | 77.50 % |" in card
    assert "| class 9 | 20 | 55.0 % | 20 | 55.0 % |" in card
    assert card.index("| class 9 |") < card.index("| class 8 |") < card.index("| class 1 |")
    assert "| 1 | class 9 | class 0 | 9 |" in card
    assert "| 2 | class 8 | class 0 | 8 |" in card
    assert "| 3 | class 7" not in card  # of which there are no images
    assert "](confused.jpg)" in card


def test_folder_without_counts_says_nothing_of_classes(tmp_path, digits):
    emission = emitted(tmp_path / "found", digits)
    manifest = json.loads((tmp_path / "found" / "emission.json").read_text())
    assert not {"balanced_accuracy", "by_class", "confusions", "origin"} & manifest.keys()
    assert "confused.jpg" not in emission.files
    card = (tmp_path / "found" / "README.md").read_text()
    assert "balanced" not in card
    assert "confused.jpg" not in card


def test_picture_has_a_row_per_confusion():
    sheet = Image.open(io.BytesIO(contact_sheet(results().confusions)))
    assert sheet.size == (28 + 3 * 104, 2 * 104)
    assert abs(sheet.getpixel((28 + 52, 52))[0] - 0) < 8  # the middle of the first photo, which is black
    assert abs(sheet.getpixel((28 + 104 + 52, 52))[0] - 60) < 8
    assert sheet.getpixel((28 + 52, 10))[0] > 245  # a photo of half the height has white above it
    assert sheet.getpixel((28 + 104 + 52, 104 + 52))[0] > 245  # the second row has one photo
    assert contact_sheet(()) is None
    assert contact_sheet([Confusion(0, 1, 5)]) is None


def test_of_many_classes_the_worst_are_shown():
    known = results(40)
    assert len(class_json(known)["by_class"]) == 40
    assert len(class_json(known)["confusions"]) == CONFUSED
    assert [own.name for own in known.worst()[:2]] == ["class 19", "class 39"]
    assert WORST < 40


@pytest.mark.parametrize(
    "name", ["a\n# heading", "<img src=x>", "[a](b)", "`code` *b* _c_", "![x](y)", "back\\slash", "&lt;"]
)
def test_names_of_classes_are_plain_text(tmp_path, digits, name):
    known = results()
    hostile = replace(known, classes=(replace(known.classes[0], name=name), *known.classes[1:]))
    emitted(tmp_path / "found", digits, by_class=hostile)
    section = (tmp_path / "found" / "README.md").read_text().partition("## By class")[2].partition("\n## ")[0]
    (row,) = (line for line in section.splitlines() if line.endswith("| 20 | 100.0 % | 20 | 100.0 % |"))
    shown = row.split(" | ")[0]
    assert as_text(name) in shown
    unescaped = "".join(part for part in shown.split("\\\\"))
    for character in "`*_[]<>&!#":
        assert unescaped.count(character) == unescaped.count(f"\\{character}")


HOSTILE = "a\n# heading <img src=x> `b` [c](d) __e__"


def tokens(text):
    """Yield the parts of a Markdown text, as a reader of it sees them."""
    for token in MarkdownIt("commonmark").parse(text):
        yield token
        yield from token.children or ()


def test_all_that_others_chose_is_plain_text(tmp_path, digits, monkeypatch):
    def card(text):
        monkeypatch.setattr(emission, "export_and_check", lambda *_: OnnxCheck("failed", text))
        passed = {"candidate": text, "predicted": 50.0, "outcome": text, "message": text}
        found = replace(
            measurements(),
            passed_over=(passed,),
            distillation={"teacher": text, "candidate": "c" * 16, "weight": 0.5, "temperature": 1.0},
            origin=Origin(text, text, text, ("owl",), "0" * 64),
            statistics={"macs": 1, text: 2},
        )
        facts = replace(describe_data(digits), name=text, classes=(text, *digits.classes[1:]))
        folder = tmp_path / " ".join(text.split())
        emit(folder, create(DEFINITION, 10, 1), RECIPE, facts, found)
        return list(tokens((folder / "README.md").read_text()))

    plain, hostile = card("plain"), card(HOSTILE)
    assert [token.type for token in hostile] == [token.type for token in plain]
    seen = " ".join(token.content for token in hostile if token.type in ("text", "code_inline"))
    assert seen.count("".join(HOSTILE.split())) + seen.count(" ".join(HOSTILE.split())) >= 9


def test_names_that_are_no_markup_stay_as_they_are():
    assert as_text("my_photos v2, 3 % (a-b)") == "my_photos v2, 3 % (a-b)"
    assert as_code("timm:efficientnet_lite0") == "`timm:efficientnet_lite0`"


def test_bars_in_names_do_not_end_a_cell(tmp_path, digits):
    known = results()
    barred = replace(known, classes=(replace(known.classes[0], name="a|b"), *known.classes[1:]))
    emitted(tmp_path / "found", digits, by_class=barred)
    assert "| a\\|b | 20 |" in (tmp_path / "found" / "README.md").read_text()


def test_card_of_a_network_that_started_from_another_says_so(tmp_path, digits):
    origin = Origin("macs-50M", "f" * 16, "birds", ("owl", "tit"), "0" * 64)
    emitted(tmp_path / "found", digits, origin=origin)
    card = " ".join((tmp_path / "found" / "README.md").read_text().split())
    assert f"fine-tuned by narsfast from the network `macs-50M` (candidate `{'f' * 16}`)" in card
    assert "trained on birds with 2 classes" in card
    assert "Trained from the weights of `macs-50M`, all but those of the classifier" in card
    assert "from scratch" not in card
    manifest = json.loads((tmp_path / "found" / "emission.json").read_text())
    assert manifest["origin"]["classes"] == ["owl", "tit"]
