"""The rivals of the statistics count what we count."""

import pytest

from bench import statistics_speed


@pytest.mark.filterwarnings("ignore")
def test_all_work_counts_the_networks_it_names():
    work = statistics_speed.all_work(networks=1)
    assert {"narsfast, all statistics", "torch FlopCounterMode"} <= work.keys()
    handled, call = work["narsfast, all statistics"]
    assert len(call()) == handled == statistics_speed.BATCH
