import os
import re
from pathlib import Path

import pytest

import bench.__main__ as command
from bench import DATA_VARIABLE, ROOT

FAILS = "import sys; print('row of fails'); sys.exit('too wrong to time')"
WORKS = """
import pathlib, sys
print("options", *sys.argv[1:-2])
pathlib.Path(sys.argv[-1]).write_text("figures of works")
"""


@pytest.fixture
def stand_ins(monkeypatch, tmp_path):
    """Install benchmarks, by name and source, in place of the real ones."""

    def install(**sources):
        (tmp_path / "bench").mkdir()
        (tmp_path / "bench" / "__init__.py").touch()
        for name, source in sources.items():
            (tmp_path / "bench" / f"{name}.py").write_text(source)
        monkeypatch.setattr(command, "ROOT", tmp_path)
        monkeypatch.setattr(command, "BENCHMARKS", tuple(sources))

    return install


def test_failing_benchmark_is_named_and_the_others_run(stand_ins, tmp_path, capfd):
    stand_ins(fails=FAILS, works=WORKS)
    assert command.main(["all", "--quick", "--json", str(tmp_path / "out")]) == 1
    printed = capfd.readouterr().out
    order = ["== fails", "row of fails", "fails failed with exit code 1", "too wrong to time"]
    order += ["== works", "options --quick\n", "failed: fails\n"]
    places = [printed.index(text) for text in order]
    assert places == sorted(places)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["works.json"]
    assert (tmp_path / "out" / "works.json").read_text() == "figures of works"


def test_named_benchmarks_run_without_options(stand_ins, capfd):
    stand_ins(other=FAILS, works="import sys; print(sys.argv[1:])")
    assert command.main(["works"]) == 0
    assert capfd.readouterr().out == "== works\n[]\n"


def test_data_is_passed_on_in_the_environment(stand_ins, tmp_path, capfd):
    stand_ins(works=f"import os; print(os.environ[{DATA_VARIABLE!r}])")
    before = os.environ.get(DATA_VARIABLE)
    assert command.main(["works", "--data", str(tmp_path)]) == 0
    assert capfd.readouterr().out == f"== works\n{tmp_path}\n"
    assert os.environ.get(DATA_VARIABLE) == before


def test_unknown_name_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["search_sped"])
    assert (
        "NAME is 'search_sped'; it must be all or one of depthwise_se, train_step" in capsys.readouterr().err
    )


def test_no_name_lists_every_file_with_its_title(capsys):
    assert command.main([]) == 0
    printed = capsys.readouterr().out
    for name in (*command.BENCHMARKS, *command.TOOLS):
        title = command.title(name)
        assert title.endswith((".", "?"))
        assert re.search(rf"^  {re.escape(name)} +{re.escape(title)}$", printed, re.M)


def test_every_benchmark_is_listed():
    files = {path.relative_to(ROOT / "bench").with_suffix("") for path in (ROOT / "bench").rglob("*.py")}
    commands = {
        ".".join(file.parts)
        for file in files
        if "\ndef main(" in (ROOT / "bench" / file).with_suffix(".py").read_text()
    }
    assert commands - {"__main__"} == {*command.BENCHMARKS, *command.TOOLS}


def test_readme_has_every_benchmark():
    page = Path(ROOT, "bench", "README.md").read_text()
    listed = re.findall(r"^\| `(\w+)\.py` \|", page.partition("| benchmark |")[2].partition("\n\n")[0], re.M)
    assert tuple(listed) == command.BENCHMARKS
