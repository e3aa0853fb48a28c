import csv
import tarfile
from collections import Counter

import pytest

from bench import finetune


def row(pair, budget, found, stock, **others):
    return {"pair": pair, "budget": budget, "found_test": found, "stock_test": stock, **others}


def test_figures_are_means_over_pairs_with_their_errors():
    rows = [row(pair, budget, 80.0 + 2 * pair, 76.0) for pair in (0, 1) for budget in ("8M", "32M")]
    rows += [row(0, "16M", 80.0, 77.0, scratch_test=60.0, equal_epochs_test=50.0)]
    rows += [row(1, "16M", 80.0, 79.0, equal_epochs_test=40.0)]
    figures = finetune.figures_of(rows)
    assert figures["found_over_stock_macs_8M"] == 5.0
    assert figures["found_over_stock_macs_8M_error"] == pytest.approx(1.0)
    assert figures["found_over_stock_macs_16M"] == 2.0
    assert figures["found_over_scratch"] == 20.0
    assert "found_over_scratch_error" not in figures
    assert figures["inherit_over_scratch_equal_epochs"] == 35.0
    assert figures["found_test_32M"] == 81.0
    assert figures["pairs"] == 2


@pytest.fixture
def photos(tmp_path):
    """Unpack an archive of two classes in two folders of splits."""
    for split, count in (("train", 30), ("test", 10)):
        for label in ("hat", "shoe"):
            folder = tmp_path / "made" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{split}{number}.jpg").touch()
    with tarfile.open(tmp_path / "photos.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "made", "photos")
    return finetune.unpacked(tmp_path / "photos.tar.gz", tmp_path / "unpacked")


def test_archives_are_unpacked_once(photos, tmp_path):
    assert len(list(photos.rglob("*.jpg"))) == 80
    (tmp_path / "photos.tar.gz").unlink()
    assert finetune.unpacked(tmp_path / "photos.tar.gz", photos) == photos


def test_splits_are_drawn_anew_within_each_class_by_the_seed(photos, tmp_path):
    tables = [
        finetune.draw_split(photos, tmp_path / f"{place}.csv", seed) for place, seed in enumerate((0, 0, 1))
    ]
    first, again, other = (table.read_text() for table in tables)
    assert first == again != other
    rows = list(csv.DictReader(first.splitlines()))
    assert len({line["path"] for line in rows}) == 80
    assert Counter((line["label"], line["split"]) for line in rows) == {
        (label, split): count
        for label in ("hat", "shoe")
        for split, count in (("val", 4), ("test", 20), ("train", 16))
    }
    tables[0].write_text("path,label,split\n")
    assert finetune.draw_split(photos, tables[0], 5).read_text() == "path,label,split\n"


def test_results_are_computed_once(tmp_path):
    kept = finetune.Kept(tmp_path / "kept")
    assert kept("a", lambda: [1.5]) == [1.5]
    assert finetune.Kept(tmp_path / "kept")("a", lambda: pytest.fail("computed again")) == [1.5]
    other = finetune.Kept(tmp_path / "other", tmp_path / "kept")
    assert other("a", lambda: pytest.fail("computed again")) == [1.5]
    assert other("b", lambda: 2) == 2
    assert not (tmp_path / "kept" / "b.json").exists()
