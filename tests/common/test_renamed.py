import pytest

from narsfast.common import renamed
from narsfast.errors import UserError


@pytest.fixture(autouse=True)
def nothing_was_said():
    """As in a process that has logged no old name yet."""
    renamed._warn.cache_clear()


def test_old_option_is_renamed_with_one_warning(caplog):
    for _ in range(2):
        assert renamed.upgrade_given({"batch": 3, "seed": 1}) == {"trials_per_batch": 3, "seed": 1}
    assert [record.getMessage() for record in caplog.records] == [
        "option batch is now called trials_per_batch; the old name works in version 0.2 only"
    ]


def test_present_options_stay_without_a_warning(caplog):
    options = {name: 1 for name in renamed.OLD_FIELDS.values()}
    assert renamed.upgrade_given(options) == options
    assert not caplog.records


def test_old_and_present_name_together_are_refused():
    with pytest.raises(UserError, match="distil is the old name of distill, and both are given"):
        renamed.upgrade_given({"distil": "largest", "distill": "none"})


def test_stored_configuration_is_renamed_silently(caplog):
    stored = dict.fromkeys(renamed.OLD_FIELDS, 2) | {"epochs": 8}
    assert renamed.upgrade_stored(stored) == dict.fromkeys(renamed.OLD_FIELDS.values(), 2) | {"epochs": 8}
    assert not caplog.records
