"""How commands end: with one sentence for a mistake of the user, and when they are stopped."""

import pytest

from narsfast import pipeline


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--fix", "resolution"], "--fix: 'resolution' is not FIELD=VALUE"),
        (["run", "--space", "huge"], "huge"),
        (["run", "--budget", "flops=3M"], "statistic 'flops' is unknown"),
        (["run", "--fix", "ema=maybe"], "maybe"),
        (["run", "--data", "nowhere"], "nowhere"),
        (["run", "--clip-norm", "0"], "--clip-norm is 0.0; it must be greater than 0"),
        (["run", "--model", "b", "--budget", "macs=1M"], "--budget is given with a model"),
        (["run", "--model", "b", "--pool", "macs=1M:2M"], "so leave --pool out"),
        (["run", "--budget", "latency=8ms"], "give one as --latency"),
        (["resume", "nowhere"], "nowhere"),
        (["space", "nothing.yaml"], "nothing.yaml"),
        (["run", "--recipe-space", "wide"], "--recipe-space is 'wide'"),
    ],
)
def test_mistake_ends_with_one_sentence(run_narsfast, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = run_narsfast(*arguments)
    assert code == 1
    assert said in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nonsense"], "No such option"),
        (["--trials-per-batch", "1"], "'--trials-per-batch'"),
        (["--distill-weight", "1.5"], "'--distill-weight'"),
        (["--correlation", "pearson"], "'pearson' is not one of"),
        (["--seed", "one"], "'--seed'"),
    ],
)
def test_value_of_another_kind_is_a_usage_error(run_narsfast, arguments, said):
    code, _, err = run_narsfast("run", *arguments)
    assert code == 2
    assert said in " ".join(err.split())


def test_ctrl_c_says_how_to_resume(run_narsfast, monkeypatch, tmp_path):
    def run(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", run)
    code, _, err = run_narsfast("run", "--out", tmp_path / "run")
    assert code == 130
    assert "the same command resumes from here" in err
