"""Jobs that are put back in the queue."""

import pytest

from narsfast.cli import _slurm
from narsfast.cli._commands import Ended
from narsfast.errors import UserError


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Provide a job whose `scontrol` writes down what it is asked, and fails where it is told to."""
    scontrol, asked = tmp_path / "scontrol", tmp_path / "asked"
    scontrol.write_text(f"""#!/bin/sh
echo "$@" >> {asked}
[ ! -e {tmp_path}/refuse ] || {{ echo "slurm_update error: Job is not requeueable" >&2; exit 1; }}
""")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    return tmp_path


def stopped(job, wanted=True):
    with pytest.raises((KeyboardInterrupt, UserError)) as ended, _slurm.requeued_when_stopped(wanted):
        raise Ended(15)
    asked = (job / "asked").read_text() if (job / "asked").exists() else ""
    return ended.value, asked


def test_a_signal_puts_the_job_back(job, capsys):
    ended, asked = stopped(job)
    assert isinstance(ended, Ended)
    assert asked == "requeue 7\n"
    assert capsys.readouterr().err == "narsfast: job 7 is in the queue again\n"


def test_without_it_nobody_is_asked(job):
    ended, asked = stopped(job, wanted=False)
    assert isinstance(ended, Ended)
    assert asked == ""


def test_what_ends_by_itself_is_not_put_back(job):
    with _slurm.requeued_when_stopped(True):
        pass
    with pytest.raises(ValueError, match="own"), _slurm.requeued_when_stopped(True):
        raise ValueError("own")
    assert not (job / "asked").exists()


def test_a_refusal_of_slurm_is_told(job):
    (job / "refuse").touch()
    ended, _ = stopped(job)
    assert str(ended) == (
        "requeue: Slurm did not put job 7 back in the queue (slurm_update error: Job is not requeueable); "
        "submit it again, and it goes on"
    )


def test_where_there_is_no_slurm_it_is_refused_before_anything_is_done(job, monkeypatch, run_narsfast):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="scontrol is not on the PATH"), _slurm.requeued_when_stopped(True):
        pytest.fail("began")
    monkeypatch.delenv("SLURM_JOB_ID")
    code, _, err = run_narsfast("run", "--out", job / "run", "--requeue")
    assert code == 1
    assert err == (
        "narsfast: --requeue is given, and SLURM_JOB_ID is not set: this is no job of Slurm; leave requeue out\n"
    )
    assert not (job / "run").exists()
