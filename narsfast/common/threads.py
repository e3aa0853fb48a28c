"""CPU cores that may be used, and torch's threads for the length of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def usable_cores() -> int:
    """Return the CPU cores that this process may use: by its affinity, and by the quota of its container (cgroup)."""
    from joblib import cpu_count  # comes with scikit-learn; not for commands that only show help

    return int(cpu_count())


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Compute on `threads` torch threads inside the block; None leaves them as they are.

    With one thread sums have one order, whatever the machine.
    """
    import torch  # the ground that every package stands on is there without it

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
