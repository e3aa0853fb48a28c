"""The benchmark of reading times what it names, on files that are all different."""

import pytest

from bench import reading


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading") / "photos"
    reading.write_photos(folder, files=60, side=20)
    return folder


def test_every_call_knows_all_files(folder):
    assert len({file.read_bytes() for file in folder.glob("*/*.jpg")}) == 60
    calls = reading.knowing(folder)
    assert calls["load, nothing known"]().fingerprint == calls["load, hashes known"]().fingerprint
    assert calls["fingerprint, hashes known"]() == 64


def test_a_changed_file_is_no_known_one(folder):
    calls = reading.knowing(folder)
    next(folder.glob("*/*.jpg")).write_bytes(b"")
    with pytest.raises(AssertionError, match="counts as changed"):
        calls["fingerprint, hashes known"]()


@pytest.mark.parametrize("threads", [1, 2])
def test_decoding_takes_so_many_threads(folder, threads, monkeypatch):
    given = []
    pool = reading._decode.ThreadPoolExecutor
    monkeypatch.setattr(
        reading._decode, "ThreadPoolExecutor", lambda count: given.append(count) or pool(count)
    )
    reading.decoding(folder)[f"{threads} thread(s)"]()
    assert given == [threads]
