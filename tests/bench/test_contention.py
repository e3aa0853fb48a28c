import os

import pytest

from bench import contention
from bench.contention import BothCores


@pytest.mark.parametrize(
    ("alone", "together", "speedup", "contended"),
    [([100, 100], 200, 2.0, False), ([80, 120], 170, 1.7, False), ([100, 100], 169, 1.69, True)],
)
def test_speedup_below_the_limit_is_contended(monkeypatch, alone, together, speedup, contended):
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.setattr(contention, "rates", lambda cores: (alone, together) if cores == [0, 1] else None)
    cores = contention.check()
    assert cores.speedup == speedup
    assert cores.contended == contended


def test_one_core_gives_no_speedup(monkeypatch):
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert contention.check() == BothCores(None, "one core")
    assert not contention.check().contended


def test_system_without_pinning_gives_no_speedup(monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    cores = contention.check()
    assert cores.speedup is None
    assert "pin" in cores.why_not


def test_rates_of_real_processes_are_positive():
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("no process can be pinned here")
    alone, together = contention.rates(sorted(os.sched_getaffinity(0))[:2])
    assert min(*alone, together) > 0
