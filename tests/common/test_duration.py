import pytest

from narsfast.common.duration import duration_text, seconds_of
from narsfast.errors import UserError


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("90m", 5400),
        ("2h", 7200),
        ("1.5h", 5400),
        ("1d", 86400),
        ("40s", 40),
        (" 2 H ", 7200),
        (30, 30),
        (".5m", 30),
    ],
)
def test_durations_are_read(given, seconds):
    assert seconds_of(given, "time") == seconds


@pytest.mark.parametrize(
    "given", ["2", "h", "-2h", "0m", "2 weeks", "1h30m", "nan", 0, -1, True, float("inf")]
)
def test_others_are_refused(given):
    with pytest.raises(UserError, match=r"time is .*; give a number with its unit, as in 90m, 2h or 1d"):
        seconds_of(given, "time")


@pytest.mark.parametrize(
    ("seconds", "text"), [(40.2, "40 s"), (60, "1 min"), (3600, "1 h"), (5400, "1 h 30 min"), (86400, "24 h")]
)
def test_durations_are_written_for_people(seconds, text):
    assert duration_text(seconds) == text
