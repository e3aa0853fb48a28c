import json

import pytest

from bench.tabular.jobs import Case, Tables, run_cases

CASES = [Case(seed, "toy", variant, size) for seed in (0, 1) for variant in ("a", "b") for size in (5, 9)]


@pytest.fixture
def judge():
    """A judge that counts its calls; variant b does not apply at size 9."""

    def judged(table, variant, size, seed):
        judged.calls += 1
        return None if (variant, size) == ("b", 9) else {"what": [len(table), variant, size, seed]}

    judged.calls = 0
    return judged


def test_cases_that_apply_get_scores(judge, toy):
    found = run_cases(judge, CASES, Tables([toy], None), str, processes=1)
    assert found == {
        case: {"what": [48, case.variant, case.size, case.seed]}
        for case in CASES
        if (case.variant, case.size) != ("b", 9)
    }


def test_kept_results_are_not_repeated(judge, toy, tmp_path):
    tables, kept = Tables([toy], None), tmp_path / "kept"
    first = run_cases(judge, CASES[:3], tables, str, kept, processes=1)
    assert judge.calls == 3
    kept.write_text(kept.read_text() + '{"key": "torn')
    every = run_cases(judge, CASES, tables, str, kept, processes=1)
    assert judge.calls == len(CASES)
    assert every.items() >= first.items()


def test_a_torn_line_does_not_spoil_the_next(judge, toy, tmp_path):
    tables, kept = Tables([toy], None), tmp_path / "kept"
    kept.write_text('{"key": "torn')
    for _ in range(2):
        run_cases(judge, CASES[:1], tables, str, kept, processes=1)
    assert judge.calls == 1


def test_a_new_version_is_judged_again(judge, toy, tmp_path):
    kept = tmp_path / "kept"
    run_cases(judge, CASES, Tables([toy], None), lambda name: name, kept, processes=1)
    run_cases(judge, CASES, Tables([toy], None), lambda name: {"a": "a", "b": "new"}[name], kept, processes=1)
    assert judge.calls == len(CASES) * 3 // 2


def test_another_table_of_the_same_name_is_judged_again(judge, toy, tmp_path):
    kept = tmp_path / "kept"
    run_cases(judge, CASES, Tables([toy], None), str, kept, processes=1)
    other = tmp_path / "other.yaml"
    other.write_text(toy.read_text().replace("maximize", "minimize"))
    run_cases(judge, CASES, Tables([other], None), str, kept, processes=1)
    assert judge.calls == 2 * len(CASES)


@pytest.mark.slow
def test_processes_give_what_this_one_gives(toy, tmp_path, monkeypatch):
    # Processes import the judge by name, so it has to be in an importable module.
    (tmp_path / "judges.py").write_text(
        "def judge(table, variant, size, seed):\n    return {'sum': float(table.targets.sum()), 'seed': seed}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from judges import judge

    tables = Tables([toy], None)
    assert run_cases(judge, CASES, tables, str) == run_cases(judge, CASES, tables, str, processes=1)


def test_a_wrong_table_ends_the_script_with_its_sentence(tmp_path):
    with pytest.raises(SystemExit, match=r"it must be a readable YAML file"):
        Tables([tmp_path / "none.yaml"], None)


def test_results_are_lines_of_json(judge, toy, tmp_path):
    run_cases(judge, CASES, Tables([toy], None), str, tmp_path / "kept", processes=1)
    rows = [json.loads(line) for line in (tmp_path / "kept").read_text().splitlines()]
    assert len({row["key"] for row in rows}) == len(CASES)
