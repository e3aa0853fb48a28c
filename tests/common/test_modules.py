import sys

import pytest

from narsfast.common.modules import run_file


def test_file_runs_as_a_module_of_its_own(tmp_path):
    file = tmp_path / "json.py"  # named like one that is imported
    file.write_text("value = [__name__, __file__]\n")
    before = dict(sys.modules)
    module = run_file(file)
    assert module.value == ["narsfast_file_json", str(file)]
    assert run_file(file) is not module
    assert dict(sys.modules) == before


def test_error_of_a_file_comes_through(tmp_path):
    file = tmp_path / "bad.py"
    file.write_text("raise KeyError('mine')\n")
    with pytest.raises(KeyError, match="mine"):
        run_file(file)
    with pytest.raises(FileNotFoundError):
        run_file(tmp_path / "missing.py")
