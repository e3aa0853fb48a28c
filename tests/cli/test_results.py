"""What a summary says beside its table."""

import pytest

from narsfast.cli._results import _parents_hint


def known(images, **others):
    return {"data": {"images": {"train": images}}, **others}


@pytest.mark.parametrize(("images", "said"), [(3021, "3,021 images"), (49_999, "49,999 images")])
def test_few_images_from_scratch_say_what_a_parent_would_do(images, said):
    hint = _parents_hint(known(images, parent=None))
    assert said in hint
    assert "`--parent efficientnet_lite0`" in hint


@pytest.mark.parametrize(
    "emission",
    [
        known(50_000),
        known(3000, parent={"name": "p"}),
        known(None),
        {"data": []},
        {"data": {"images": 3}},
        {},
    ],
)
def test_others_say_nothing(emission):
    assert _parents_hint(emission) is None
