import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narsfast.cost import STATISTICS, Budget, format_number
from narsfast.errors import UserError


@pytest.mark.parametrize(
    ("text", "bounds", "label"),
    [
        ("macs=50M", {"macs": (0, 50e6)}, "macs<=50M"),
        ("macs=50M,params=3M", {"macs": (0, 50e6), "params": (0, 3e6)}, "macs<=50M,params<=3M"),
        ("macs=10M:50M", {"macs": (10e6, 50e6)}, "10M<=macs<=50M"),
        (" macs = 0.5m : 1.5G ", {"macs": (0.5e6, 1.5e9)}, "500K<=macs<=1.5G"),
        ("macs=10M:", {"macs": (10e6, math.inf)}, "macs>=10M"),
        ("macs=:10M", {"macs": (0, 10e6)}, "macs<=10M"),
        ("peak_memory=512KB", {"peak_memory": (0, 512e3)}, "peak_memory<=512K"),
        ("depth=40", {"depth": (0, 40)}, "depth<=40"),
        ("params=1e6", {"params": (0, 1e6)}, "params<=1M"),
        ("macs<=10M", {"macs": (0, 10e6)}, "macs<=10M"),
        ("2M <= macs <= 10M", {"macs": (2e6, 10e6)}, "2M<=macs<=10M"),
        ("macs>=2M,depth<=40", {"macs": (2e6, math.inf), "depth": (0, 40)}, "depth<=40,macs>=2M"),
        ("macs=5,000,000", {"macs": (0, 5e6)}, "macs<=5M"),
        (
            "macs=1,000,000:5,000,000,depth=40",
            {"macs": (1e6, 5e6), "depth": (0, 40)},
            "depth<=40,1M<=macs<=5M",
        ),
    ],
)
def test_parse_reads_bounds_and_label_shows_them(text, bounds, label):
    budget = Budget.parse(text)
    assert budget.bounds == bounds
    assert budget.label() == label
    assert budget == Budget(bounds)
    assert hash(budget) == hash(Budget(bounds))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no bound; give at least one"),
        ("flops=5M", r"'flops' is unknown; the known ones are macs, .*depth"),
        ("macs", "STATISTIC=BOUND"),
        ("macs=", "no bound"),
        ("macs=5X", "'5X'.*50M"),
        ("macs=5MB", "'5MB'"),
        ("macs=-5M", "'-5M'"),
        ("macs=1M:2M:3M", "'2M:3M'"),
        ("macs=5M:1M", "empty"),
        ("macs=5M,macs=1M", "twice"),
        ("macs<5M", "'macs<5M' should be STATISTIC=BOUND"),
        ("5M<=macs>=1M", "should be STATISTIC=BOUND"),
        ("macs<=", "should be STATISTIC=BOUND"),
        ("macs=50,00", "'00' should be STATISTIC=BOUND"),
    ],
)
def test_parse_refuses_wrong_budgets(text, words):
    with pytest.raises(UserError, match=words):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["macs", "macs=", "macs=5X", "macs=2M:1M", "macs=1M,macs=2M", ""])
def test_refusal_names_the_field(text):
    with pytest.raises(UserError, match=r"^pool_bounds '"):
        Budget.parse(text, field="pool_bounds")


def test_parse_accepts_known_statistics_only():
    assert Budget.parse("latency=8", known=("latency",)).bounds == {"latency": (0, 8)}
    with pytest.raises(UserError, match="'macs' is unknown; the known ones are none, for this space"):
        Budget.parse("macs=1M", known=())


def test_within_is_a_conjunction_with_inclusive_bounds():
    budget = Budget({"macs": (10, 20), "depth": (0, 5)})
    statistics = np.zeros((5, 7), np.int64)
    statistics[:, STATISTICS.index("macs")] = [9, 10, 20, 21, 15]
    statistics[:, STATISTICS.index("depth")] = [1, 5, 5, 5, 6]
    assert budget.within(statistics).tolist() == [False, True, True, False, False]


def test_within_finds_columns_by_name():
    budget = Budget({"depth": (0, 5)})
    statistics = np.array([[9, 5], [1, 6]], np.int64)
    assert budget.within(statistics, ["macs", "depth"]).tolist() == [True, False]
    with pytest.raises(UserError, match="'depth' is unknown"):
        budget.within(statistics, ["macs", "params"])


@given(st.floats(1e-3, 1e15, allow_nan=False), st.floats(0, 1e15), st.booleans())
def test_parse_of_label_and_of_text_gives_the_budget(low, more, bounded):
    budget = Budget({"macs": (low, low + more if bounded else math.inf)})
    assert Budget.parse(budget.label()) == Budget.parse(budget.text()) == budget


def test_format_number_uses_the_largest_unit():
    assert [format_number(x) for x in (0, 12, 999, 1000, 2.5e6, 3e9)] == [
        "0",
        "12",
        "999",
        "1K",
        "2.5M",
        "3G",
    ]


def test_keywords_bound_above_and_pairs_on_both_sides():
    assert Budget(macs=50e6, params=(1e6, 3e6)) == Budget.parse("macs=50M,params=1M:3M")
    assert Budget({"macs": (0.0, 1e6)}, params=2) == Budget.parse("macs=1M,params=2")
    assert hash(Budget(macs=1)) == hash(Budget.parse("macs=1"))


@pytest.mark.parametrize(
    ("bounds", "message"),
    [({"macs": "50M"}, "budget macs is '50M'; give one number or two"), ({"macs": (5, 1)}, "is empty")],
)
def test_keywords_that_are_no_bounds_are_refused(bounds, message):
    with pytest.raises(UserError, match=message):
        Budget(**bounds)
