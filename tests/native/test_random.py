"""The counter-based random numbers of native code, against published words and the numpy twin."""

import numpy as np
import pytest

from narsfast import _native
from narsfast.search._settings import philox

# Known answers of Philox4x32-10 (Random123's test vectors): key, counter, words.
KNOWN = [
    ([0, 0], [0, 0, 0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 2, [0xFFFFFFFF] * 4, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0xA4093822, 0x299F31D0],
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("key", "counter", "words"), KNOWN)
@pytest.mark.parametrize("generator", [_native.philox, philox], ids=["native", "numpy"])
def test_known_answers(generator, key, counter, words):
    seed = key[0] | key[1] << 32
    assert generator(seed, 0, np.array([counter], np.uint32)).tolist() == [words]


def test_native_and_numpy_agree_for_any_key():
    rng = np.random.default_rng(0)
    counters = rng.integers(0, 2**32, (500, 4), np.uint32)
    for seed, purpose in ((1, 2), (2**64 - 1, 0x65766F6C), (12345678901234567, 0)):
        assert np.array_equal(_native.philox(seed, purpose, counters), philox(seed, purpose, counters))


def test_purpose_and_seed_change_the_words():
    counters = np.arange(16, dtype=np.uint32).reshape(4, 4)
    words = [philox(seed, purpose, counters) for seed, purpose in ((0, 0), (1, 0), (1 << 32, 0), (0, 2))]
    assert len({array.tobytes() for array in words}) == 4


@pytest.mark.parametrize("isa", _native.isas())
@pytest.mark.parametrize("blocks", [1, 7, 16, 17, 40])
def test_kernels_draw_the_same_words(monkeypatch, isa, blocks):
    monkeypatch.setenv("NARSFAST_ISA", isa)
    counters = np.array([[block, 5, 2**31 + 3, 77] for block in range(blocks)], np.uint32)
    words = _native.child_words(2**63 + 9, 1234, 5, 2**31 + 3, 77, blocks)
    assert np.array_equal(words, philox(2**63 + 9, 1234, counters))
