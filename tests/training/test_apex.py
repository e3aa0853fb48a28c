import logging

import pytest

from narsfast.errors import UserError
from narsfast.training._apex import apex_kind, find_apex, require_apex

from .apex_stub import NAMESAKE, nvidias, write

ASKED = ("optim_backend", "apex")


def only_line(caplog):
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    return record.getMessage()


def test_kind_of_apex_is_told_without_running_it(apex):
    assert apex_kind() is None
    write(apex, {"apex/__init__.py": NAMESAKE})
    assert apex_kind() == "namesake"
    write(apex, {"apex/optimizers/__init__.py": NAMESAKE})
    assert apex_kind() == "without extensions"
    write(apex, {"amp_C.py": NAMESAKE})
    assert apex_kind() == "NVIDIA"


def test_nvidias_apex_is_found(apex, caplog):
    nvidias(apex)
    module, reason = find_apex()
    assert module.__name__ == "apex.optimizers"
    assert reason == ""
    assert require_apex(*ASKED) is module
    assert not caplog.records


def test_namesake_is_ignored_with_one_warning_and_not_run(apex, caplog):
    write(apex, {"apex/__init__.py": NAMESAKE, "apex/lib/__init__.py": ""})
    for _ in range(2):
        module, _ = find_apex()
        assert module is None
    line = only_line(caplog)
    assert "another project than NVIDIA's" in line
    assert str(apex / "apex") in line
    with pytest.raises(UserError, match=r"^optim_backend is 'apex', but the apex in .* is another project"):
        require_apex(*ASKED)


def test_folder_named_apex_is_ignored(apex, caplog):
    write(apex, {"apex/setup.py": NAMESAKE})
    assert find_apex()[0] is None
    assert f"the apex in {apex / 'apex'} is another project" in only_line(caplog)


def test_apex_without_its_extensions_is_ignored(apex, caplog):
    nvidias(apex)
    (apex / "amp_C.py").unlink()
    assert find_apex()[0] is None
    assert "without its CUDA extensions (amp_C)" in only_line(caplog)


def test_apex_that_fails_to_import_is_ignored(apex, caplog):
    nvidias(apex)
    write(apex, {"amp_C.py": "raise OSError('undefined symbol: x\\nmore')"})
    assert find_apex()[0] is None
    assert only_line(caplog).endswith("cannot be imported (OSError: undefined symbol: x): it is ignored")


def test_missing_apex_is_not_logged(apex, caplog):
    assert find_apex() == (None, "apex is not installed")
    assert not caplog.records
    with pytest.raises(UserError, match=r"apex is not installed: install NVIDIA's apex .*, or take another$"):
        require_apex(*ASKED)
