import pytest

import narsfast
from narsfast.common.version import TRAIN_ALIKE, trains_alike


def test_present_version_is_among_those_that_train_alike():
    assert narsfast.__version__ in TRAIN_ALIKE


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [("0.1.0", "0.2.0", True), ("0.2.0", "0.1.0", True), ("9.9", "9.9", True), ("0.0.1", "0.2.0", False)],
)
def test_versions_train_alike_only_where_it_is_known(one, other, alike):
    assert trains_alike(one, other) == alike
