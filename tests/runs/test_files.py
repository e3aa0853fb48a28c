import os

import pytest

from narsfast.runs import replacing, write_file


def test_write_file(tmp_path):
    file = tmp_path / "recipe.json"
    write_file(file, "größe")
    assert file.read_bytes() == "größe".encode()
    write_file(file, b"\0\1")
    assert file.read_bytes() == b"\0\1"
    assert os.listdir(tmp_path) == ["recipe.json"]


def test_the_old_content_stays_until_the_block_ends_well(tmp_path):
    file = tmp_path / "weights.safetensors"
    write_file(file, "old")
    with replacing(file) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".safetensors"
        temporary.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    with pytest.raises(ZeroDivisionError), replacing(file) as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert file.read_text() == "new"
    assert os.listdir(tmp_path) == ["weights.safetensors"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "nothing"):
        pass
    assert os.listdir(tmp_path) == []
