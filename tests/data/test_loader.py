import logging

import pytest

from narsfast.data import DIGITS, DataSource, batches, load_data, open_loader, resolve_loader
from narsfast.data import _loader as module
from narsfast.errors import UserError


@pytest.fixture(params=[None, "No module named 'nvidia'"])
def missing(request, monkeypatch):
    """Why DALI cannot be imported; None where it can."""
    monkeypatch.setattr(module, "_why_not_dali", lambda: request.param)
    module._explain.cache_clear()
    return request.param


def test_auto_is_dali_for_folders_where_it_is_installed_and_says_so_once(missing, caplog):
    with caplog.at_level(logging.INFO):
        names = {resolve_loader("auto") for _ in range(3)}
    assert names == {"dali" if missing is None else "torchvision"}
    (record,) = caplog.records
    assert ("is installed" if missing is None else "No module named") in record.message


@pytest.mark.usefixtures("missing")
def test_auto_is_the_reference_for_data_without_image_files(caplog):
    data = [DataSource.parse(DIGITS), DataSource.parse("stored.safetensors"), load_data(DIGITS)]
    with caplog.at_level(logging.INFO):
        assert [resolve_loader("auto", each) for each in data] == ["torchvision"] * 3
    assert "auto is torchvision, as the pixels come decoded" in caplog.text
    assert [open_loader("auto", data=each).name for each in data] == ["torchvision"] * 3


def test_auto_for_a_folder_is_what_it_is_without_data(missing):
    assert resolve_loader("auto", DataSource.parse("photos")) == resolve_loader("auto")


def test_explicit_loader_is_returned_or_refused(missing):
    assert resolve_loader("torchvision") == "torchvision"
    if missing is None:
        assert resolve_loader("dali", DataSource.parse(DIGITS)) == "dali"
        return
    with pytest.raises(UserError, match=r"loader is 'dali'.*No module named.*narsfast\[dali\]"):
        resolve_loader("dali")


def test_reference_loader_has_no_device():
    loader = open_loader("torchvision")
    assert (loader.name, loader.batches) == ("torchvision", batches)
    with pytest.raises(UserError, match="torchvision cannot use CUDA device 0"):
        open_loader("torchvision", device=0)


def test_unknown_loader_is_refused():
    with pytest.raises(UserError, match="loader is 'ffcv'; it must be one of auto, dali, torchvision"):
        open_loader("ffcv")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named 'nvidia'"), "No module named 'nvidia'"),
        (OSError("libdali.so: wrong ELF class\nmore"), "libdali.so: wrong ELF class"),
        (TypeError("unsupported operand"), "TypeError: unsupported operand"),  # as under `python -OO`
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_dali_that_does_not_let_itself_be_imported_is_not_taken(monkeypatch, error, said):
    def fail(_):
        raise error

    monkeypatch.setattr(module.importlib, "import_module", fail)
    module._why_not_dali.cache_clear()
    try:
        assert resolve_loader("auto") == "torchvision"
        with pytest.raises(UserError, match=rf"'dali', which cannot be imported \({said}\); install it"):
            resolve_loader("dali")
    finally:
        module._why_not_dali.cache_clear()
