import logging

from narsfast.data import load_data, shared_data


def test_shared_data_is_loaded_once_per_process(make_folder):
    root = str(make_folder({"a": 4, "b": 4}))
    assert shared_data(root, 32) is shared_data(root, 32)
    assert shared_data(root, 32) is not shared_data(root, 64)
    assert load_data(root, 32) is not shared_data(root, 32)
    assert shared_data("digits") is load_data("digits")


def test_long_list_of_skipped_files_is_shortened(make_folder, caplog):
    root = make_folder({"a": 4, "b": 4})
    for i in range(23):
        (root / "a" / f"bad{i:02}").write_text("x")
    with caplog.at_level(logging.WARNING):
        data = load_data(root)
    assert len(data.skipped) == 23
    assert "skipped 23 file(s)" in caplog.text
    assert "bad19" in caplog.text
    assert "and 3 more" in caplog.text


def test_mirroring_is_an_option(make_folder):
    root = make_folder({"a": 4, "b": 4})
    assert load_data(root).mirror
    assert not load_data(root, mirror=False).mirror
