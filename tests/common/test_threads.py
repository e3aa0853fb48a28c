import os
from pathlib import Path

import joblib
import pytest

from narsfast.common.threads import usable_cores


def test_cores_are_those_of_the_affinity(monkeypatch):
    affinity = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(affinity)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, affinity)


@pytest.mark.parametrize(("quota", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8)])
def test_cores_are_those_of_the_quota(quota, cores, tmp_path, monkeypatch):
    """As a container sees it, on a machine of eight cores."""
    context = joblib.externals.loky.backend.context
    (tmp_path / "cpu.max").write_text(quota)
    quota_file = {"/sys/fs/cgroup/cpu.max": tmp_path / "cpu.max"}
    exists = os.path.exists
    monkeypatch.setattr(context.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(context.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(context.os.path, "exists", lambda name: name in quota_file or exists(name))
    monkeypatch.setattr(context, "open", lambda name: Path(quota_file.get(name, name)).open(), raising=False)  # noqa: SIM115
    assert usable_cores() == cores
