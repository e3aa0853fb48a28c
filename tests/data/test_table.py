"""Tables of path, label and perhaps split."""

import shutil

import pytest

from narsfast.data import DataSource, batches, load_data
from narsfast.errors import UserError


@pytest.fixture
def folder(make_folder):
    return make_folder({"a": 6, "b": 7})


def table(folder, rows, name="labels.csv", head="path,label,split", end="\n"):
    file = folder.parent / name
    file.write_text(end.join([*([head] if head else []), *rows]) + end)
    return file


def rows_of(folder, splits=None):
    files = sorted(folder.glob("*/*.jpg"))
    return [
        ",".join(
            [
                f"photos/{file.parent.name}/{file.name}",
                file.parent.name,
                *([splits[i % len(splits)]] if splits else []),
            ]
        )
        for i, file in enumerate(files)
    ]


def sizes(data):
    return len(data.train), len(data.val), len(data.test)


def test_table_without_splits_is_the_folder_it_lists(folder):
    data, same = load_data(table(folder, rows_of(folder), head="path,label"), 16), load_data(folder, 16)
    assert (data.name, data.classes, sizes(data)) == ("labels", ("a", "b"), sizes(same))
    for split in ("train", "val", "test"):
        for (x, y), (u, v) in zip(
            batches(getattr(data, split), 16, 4), batches(getattr(same, split), 16, 4), strict=True
        ):
            assert x.equal(u)
            assert y.equal(v)


@pytest.mark.parametrize(
    "head", ["path,label,split", "", "Filename,class,set", "label,path,split", "path,note,label,split"]
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_are_found_by_name_or_place(folder, head, delimiter):
    order = [column for column in (head or "path,label,split").split(",")]
    known = {"Filename": "path", "class": "label", "set": "split"}
    rows = []
    for row in rows_of(folder, ["train", "dev", "Testing", "training"]):
        values = dict(zip(("path", "label", "split"), row.split(","), strict=True)) | {"note": "x"}
        rows.append(delimiter.join(values[known.get(column, column)] for column in order))
    data = load_data(table(folder, rows, head=head.replace(",", delimiter)), 16)
    assert sizes(data) == (7, 3, 3)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_mark_quotes_blank_lines_and_absolute_paths_are_read(folder, end):
    rows = [
        f'"{folder / row.split(",")[0].removeprefix("photos/")}","{row.split(",")[1]}, the"'
        for row in rows_of(folder)
    ]
    file = table(folder, ["", *rows, "", " , "], head="\ufeffpath,label", end=end)
    assert load_data(file, 16).classes == ("a, the", "b, the")


def test_missing_split_is_taken_from_train(folder):
    assert sizes(load_data(table(folder, rows_of(folder, ["train"])), 16)) == (9, 2, 2)
    assert sizes(load_data(table(folder, rows_of(folder, ["train", "train", "test"])), 16)) == (7, 2, 4)


def test_order_of_the_rows_does_not_matter(folder):
    one = load_data(table(folder, rows_of(folder), head="path,label"), 16)
    other = load_data(table(folder, rows_of(folder)[::-1], head="path,label"), 16)
    assert one.content.fingerprint == other.content.fingerprint


def test_table_moves_with_its_photos(folder, tmp_path):
    file = table(folder, rows_of(folder), head="path,label")
    before = load_data(file, 16).content
    shutil.copytree(file.parent, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("elsewhere"))
    assert load_data(tmp_path / "elsewhere" / "labels.csv", 16).content.fingerprint == before.fingerprint


BROKEN = {
    "photos/a/000.jpg,": "line 15 has no label; fill it in",
    ",a": "line 15 has no path; fill it in",
    "photos/a/000.jpg,b": "line 15 names 'photos/a/000.jpg', as line 2 does",
    "photos/../photos/a/000.jpg,a": "line 15 names .*, as line 2 does",
    "photos/a/none.jpg,a": "names 1 file\\(s\\) that cannot be found: photos/a/none.jpg; paths are relative",
    "photos/a,a": "line 15 names 'photos/a', which is not a file",
    "photos/x.jpg,a,b,c": "line 15 has 4 column\\(s\\); give path, label and perhaps split",
    "photos/x.jpg": "line 15 has 1 column\\(s\\)",
}


@pytest.mark.parametrize("row", BROKEN)
def test_row_that_cannot_be_used_is_named_by_its_line(folder, row):
    with pytest.raises(UserError, match=f"labels.csv'.*{BROKEN[row]}"):
        load_data(table(folder, [*rows_of(folder), row], head="path,label"), 16)


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (["train", "extra"], "line 3 has the split 'extra'; splits are train; val, validation"),
        (["train", ""], "line 3 has no split, and others have one; fill it in"),
        (["val", "test"], "has no row of the split 'train'; give some"),
    ],
)
def test_splits_that_cannot_be_used_are_refused(folder, splits, said):
    with pytest.raises(UserError, match=said):
        load_data(table(folder, rows_of(folder, splits)), 16)


def test_class_that_a_split_lacks_is_named(folder):
    rows = [f"{row},{'test' if row.endswith('b') else 'train'}" for row in rows_of(folder)]
    with pytest.raises(UserError, match=r"labels.csv' has no image in class folder\(s\) \['b'\]"):
        load_data(table(folder, rows), 16)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "at least two"), (b"path,label\n", "at least two"), (b"path,label\ncaf\xe9,a\n", "is not UTF-8")],
)
def test_table_without_labels_is_refused(tmp_path, content, said):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(UserError, match=said):
        load_data(tmp_path / "labels.csv", 16)


def test_source_of_a_table(folder, tmp_path):
    source = DataSource.parse(table(folder, rows_of(folder), head="path,label"))
    assert (source.kind, source.name, source.embedded) == ("table", "labels", False)
    source.check()
    with pytest.raises(UserError, match=r"none.csv' is not a file; name a table of path, label"):
        DataSource.parse(tmp_path / "none.csv").check()
    (tmp_path / "folder.csv").mkdir()
    assert DataSource.parse(tmp_path / "folder.csv").kind == "folder"
