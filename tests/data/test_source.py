import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narsfast.data import DIGITS, DataSource, load_data, save_dataset
from narsfast.errors import UserError

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=20)


@given(st.lists(NAMES, min_size=1, max_size=3).map("/".join))
def test_parsed_text_is_canonical(text):
    source = DataSource.parse(text)
    assert DataSource.parse(source.text) == source
    assert source.kind == "digits" or Path(source.text).is_absolute()


@pytest.mark.parametrize(
    ("text", "kind", "name", "embedded"),
    [
        ("digits", "digits", "digits", True),
        ("./digits", "folder", "digits", False),
        ("some/photos/", "folder", "photos", False),
        ("some/photos.safetensors", "file", "photos", True),
    ],
)
def test_kind_and_name_follow_from_the_text(text, kind, name, embedded):
    source = DataSource.parse(text)
    assert (source.kind, source.name, source.embedded) == (kind, name, embedded)


def test_relative_home_and_given_paths_are_one_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    given = {DataSource.parse(text) for text in ("photos", "./photos/", "~/photos", tmp_path / "photos")}
    assert given == {DataSource("folder", os.path.realpath(tmp_path / "photos"))}


def test_empty_text_is_refused():
    with pytest.raises(UserError, match=r"^data is empty; give 'digits', a folder"):
        DataSource.parse("")


@pytest.mark.parametrize(
    ("text", "said"), [("nowhere", "is not a folder"), ("nowhere.safetensors", "is not a file; name one")]
)
def test_missing_data_is_refused_by_name(tmp_path, text, said):
    source = DataSource.parse(tmp_path / text)
    for look in (source.check, source.load):
        with pytest.raises(UserError, match=f"{text}' {said}"):
            look()


def test_every_kind_loads_what_it_names(make_folder, tmp_path):
    digits = DataSource.parse(DIGITS)
    digits.check()
    assert digits.load() is load_data(DIGITS)
    root = make_folder({"a": 4, "b": 4})
    folder = DataSource.parse(root)
    folder.check()
    photos = folder.load(16, mirror=False)
    assert (photos.root, photos.mirror, photos.embedded) == (root, False, folder.embedded)
    save_dataset(photos, tmp_path / "photos.safetensors")
    stored = DataSource.parse(tmp_path / "photos.safetensors")
    stored.check()
    assert stored.load(16).fingerprint() == photos.fingerprint()
    assert stored.load(16).embedded == stored.embedded
