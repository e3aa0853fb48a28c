import pickle
import subprocess
import sys
import textwrap

import pytest

from narsfast.common.modules import run_file, siblings

NETS = """
    from __future__ import annotations
    from dataclasses import dataclass
    import layers
    import parts.blocks as blocks
    from parts import heads, NAME

    @dataclass
    class Net:
        width: int = layers.WIDTH
        other: blocks.Block | None = None

    def later():
        from lazy import value
        return value
"""
FILES = {
    "nets.py": NETS,
    "layers.py": "from random import random\nimport parts\nWIDTH = 7\n",
    "parts/__init__.py": "NAME = 'parts'\n",
    "parts/blocks.py": "from . import deep\nfrom .deep import depth\nclass Block:\n    size = depth\n",
    "parts/deep.py": "depth = 3\n",
    "parts/heads.py": "import layers\n",
    "lazy.py": "value = 5\n",
    "unused.py": "raise RuntimeError\n",
    "data.txt": "",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    return tmp_path


def test_file_is_imported_once_until_it_changes(tmp_path):
    file = tmp_path / "json.py"  # named like one that is imported
    file.write_text("value = [__file__]\n")
    module = run_file(file)
    assert module.value == [str(file)]
    assert run_file(file) is module is sys.modules[module.__name__]
    assert sys.modules["json"] is not module
    file.write_text("value = [12345678]\n".ljust(len("value = [__file__]\n")))
    assert run_file(file).value == [12345678]
    assert [path.name for path in tmp_path.iterdir()] == ["json.py"], "no compiled code is left there"


def test_siblings_are_imported_from_its_folder(folder):
    module = run_file(folder / "nets.py")
    assert module.Net() == module.Net(7)
    assert (module.blocks.Block.size, module.NAME, module.later()) == (3, "parts", 5)
    assert module.heads.layers is module.layers
    assert not {"layers", "parts", "lazy"} & set(sys.modules)


def test_siblings_of_the_same_name_are_those_of_their_folder(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "nets.py").write_text("import layers\n")
    (other / "layers.py").write_text("WIDTH = 8\n")
    assert [run_file(where / "nets.py").layers.WIDTH for where in (folder, other)] == [7, 8]


def test_changed_sibling_is_imported_again(folder):
    before = run_file(folder / "nets.py")
    (folder / "parts" / "deep.py").write_text("depth = 4\n")
    after = run_file(folder / "nets.py")
    assert (before.blocks.Block.size, after.blocks.Block.size) == (3, 4)


@pytest.mark.parametrize("name", ["nets.py", "my-nets.py", "2 nets.v2.py", "é.py"])
def test_objects_are_pickled_also_for_another_process(folder, name, tmp_path_factory):
    (folder / "nets.py").rename(folder / name)
    module = run_file(folder / name)
    things = [module.Net(3), module.blocks.Block()]
    stored = pickle.dumps(things)
    assert pickle.loads(stored)[0] == things[0]
    code = "import pickle, sys; a, b = pickle.load(sys.stdin.buffer); print(a.width, b.size, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        input=stored,
        capture_output=True,
        check=False,
    )
    assert done.stdout.split() == [b"3", b"3", b"False"], done.stderr.decode()


def test_imported_files_are_listed(folder):
    expected = [
        "layers.py",
        "lazy.py",
        "parts/__init__.py",
        "parts/blocks.py",
        "parts/deep.py",
        "parts/heads.py",
    ]
    assert siblings(folder / "nets.py") == tuple(folder / name for name in expected)
    assert siblings(folder / "lazy.py") == ()


def test_error_of_a_file_comes_through_and_leaves_no_module(tmp_path):
    file = tmp_path / "bad.py"
    file.write_text("raise KeyError('mine')\n")
    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            run_file(file)
    file.write_text("value = 1\n")
    assert run_file(file).value == 1
    with pytest.raises(FileNotFoundError):
        run_file(tmp_path / "missing.py")
