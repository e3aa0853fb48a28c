"""Scratch memory of threads: every allocation fits its block, whatever was allocated before."""

from concurrent.futures import ThreadPoolExecutor

from narsfast import _native

BLOCK = 1 << 20
"""Bytes of a block, unless one allocation needs more."""


def test_second_block_is_replaced_by_a_larger_one():
    size, larger, between = 600 << 10, BLOCK + (512 << 10), BLOCK + (256 << 10)
    with ThreadPoolExecutor(1) as thread:  # a thread that has no blocks yet

        def left(*sizes):
            return thread.submit(_native.scratch_left, sizes).result()

        assert left(1, 64, 65) == [BLOCK - 64, BLOCK - 128, BLOCK - 256]
        assert left(size, size) == [BLOCK - size, BLOCK - size]
        assert left(size, larger) == [BLOCK - size, 0]
        assert left(size, between) == [BLOCK - size, larger - between]
        assert left(larger) == [0], "the first block is too small, so the second is used"
