"""What Pillow warns of is collected by file, in any thread, and nothing else is."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from narsfast.common.pillow_warnings import PillowWarnings, ignore_pillow_warnings, quietly


def warn(text, module="PIL.Image"):
    warnings.warn_explicit(text, UserWarning, f"/lib/{module.replace('.', '/')}.py", 1, module)


def test_warnings_are_known_by_their_files():
    collected = PillowWarnings()

    def read(index):
        with collected.of(index):
            warn(f"Image size ({index}00 pixels) exceeds a limit.")
            warn("once more", "pillow_heif.misc" if index % 2 else "PIL.TiffImagePlugin")

    with collected.collected(), ThreadPoolExecutor(4) as pool:
        list(pool.map(read, [3, 1, 2]))
        list(pool.map(read, [3]))
    assert collected.by_text() == [
        ("Image size (100 pixels) exceeds a limit", [1, 2, 3]),
        ("once more", [1, 2, 3]),
    ]


def test_others_warn_as_usual():
    collected = PillowWarnings()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with collected.collected():
            other = threading.Thread(target=warn, args=("of a thread that reads no file",))
            other.start()
            other.join()
            with collected.of(7):
                warn("of another module", "numpy.core")
    assert [str(one.message) for one in said] == ["of a thread that reads no file", "of another module"]
    assert collected.by_text() == []


def test_filters_are_as_before_afterwards():
    before = list(warnings.filters)
    with PillowWarnings().collected():
        assert warnings.filters != before
    assert list(warnings.filters) == before


def test_a_process_can_leave_them_unsaid():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ignore_pillow_warnings()
        warn("of Pillow")
        warn("of another", "PILOT")
    assert [str(one.message) for one in said] == ["of another"]


def test_what_is_read_later_is_read_where_warnings_are_errors():
    def read():
        warn("of Pillow")
        return 7

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert quietly(read) == 7
        with pytest.raises(UserWarning, match="of another"):
            quietly(lambda: warn("of another", "numpy"))
