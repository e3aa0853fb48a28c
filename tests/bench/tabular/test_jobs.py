import json

import pytest

from bench.tabular.jobs import Case, Datasets, run_cases

CASES = [Case(seed, "toy", variant, size) for seed in (0, 1) for variant in ("a", "b") for size in (5, 9)]


@pytest.fixture
def judge():
    """Return a judge that counts its calls; variant b does not apply at size 9."""

    def judged(dataset, variant, size, seed):
        judged.calls += 1
        return None if (variant, size) == ("b", 9) else {"what": [len(dataset), variant, size, seed]}

    judged.calls = 0
    return judged


def test_run_cases_scores_what_applies(judge, toy):
    found = run_cases(judge, CASES, Datasets([toy], None), str, processes=1)
    assert found == {
        case: {"what": [48, case.variant, case.size, case.seed]}
        for case in CASES
        if (case.variant, case.size) != ("b", 9)
    }


def test_kept_results_are_not_judged_again(judge, toy, tmp_path):
    datasets, kept = Datasets([toy], None), tmp_path / "kept"
    first = run_cases(judge, CASES[:3], datasets, str, kept, processes=1)
    assert judge.calls == 3
    kept.write_text(kept.read_text() + '{"key": "torn')
    every = run_cases(judge, CASES, datasets, str, kept, processes=1)
    assert judge.calls == len(CASES)
    assert every.items() >= first.items()


def test_torn_last_line_is_dropped(judge, toy, tmp_path):
    datasets, kept = Datasets([toy], None), tmp_path / "kept"
    kept.write_text('{"key": "torn')
    for _ in range(2):
        run_cases(judge, CASES[:1], datasets, str, kept, processes=1)
    assert judge.calls == 1


def test_new_version_is_judged_again(judge, toy, tmp_path):
    kept = tmp_path / "kept"
    run_cases(judge, CASES, Datasets([toy], None), lambda name: name, kept, processes=1)
    run_cases(
        judge, CASES, Datasets([toy], None), lambda name: {"a": "a", "b": "new"}[name], kept, processes=1
    )
    assert judge.calls == len(CASES) * 3 // 2


def test_changed_dataset_is_judged_again(judge, toy, tmp_path):
    kept = tmp_path / "kept"
    run_cases(judge, CASES, Datasets([toy], None), str, kept, processes=1)
    other = tmp_path / "other.yaml"
    other.write_text(toy.read_text().replace("maximize", "minimize"))
    run_cases(judge, CASES, Datasets([other], None), str, kept, processes=1)
    assert judge.calls == 2 * len(CASES)


@pytest.mark.slow
def test_processes_return_the_same_as_this_one(toy, tmp_path, monkeypatch):
    # Processes import the judge by name, so it has to be in an importable module.
    (tmp_path / "judges.py").write_text(
        "def judge(dataset, variant, size, seed):\n    return {'sum': float(dataset.targets.sum()), 'seed': seed}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from judges import judge

    datasets = Datasets([toy], None)
    assert run_cases(judge, CASES, datasets, str) == run_cases(judge, CASES, datasets, str, processes=1)


def test_wrong_description_ends_the_benchmark(tmp_path):
    with pytest.raises(SystemExit, match=r"it must be a readable YAML file"):
        Datasets([tmp_path / "none.yaml"], None)


def test_kept_results_are_lines_of_json(judge, toy, tmp_path):
    run_cases(judge, CASES, Datasets([toy], None), str, tmp_path / "kept", processes=1)
    rows = [json.loads(line) for line in (tmp_path / "kept").read_text().splitlines()]
    assert len({row["key"] for row in rows}) == len(CASES)
