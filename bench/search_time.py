"""How long does a whole `narsfast run` take with the fused kernels and with torch's modules?

    python -m bench.search_time [--quick] [--json FILE]

One batch of the search on the embedded digits (later ones are of other candidates, as accuracies differ in their last
digits) and short final trainings, two workers, in fresh processes in turns; quick: fewer and shorter.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from bench import harness

ONE_BATCH = ("--trials-per-batch", "12", "--iterations", "1", "--final-epochs", "1")
SMALL = ("--trials-per-batch", "4", "--iterations", "1", "--epochs", "2", "--final-epochs", "1")
RUN = "from narsfast.cli import main; main()"
WORKERS = 2


def seconds(ops: str, options: tuple[str, ...]) -> float:
    """Return the wall-clock time of one run."""
    with tempfile.TemporaryDirectory() as scratch:
        command = ["run", "--ops", ops, "--out", str(Path(scratch) / "run"), "--workers", str(WORKERS)]
        start = time.perf_counter()
        harness.run_python(RUN, *command, *options, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__)
    rounds = 1 if options.quick else 2
    rows = [
        {"ops": ops, "seconds": seconds(ops, SMALL if options.quick else ONE_BATCH)}
        for _ in range(rounds)
        for ops in ("fused", "torch")
    ]
    least = {ops: min(row["seconds"] for row in rows if row["ops"] == ops) for ops in ("fused", "torch")}
    harness.report({"search_time_vs_torch_2_threads": least["torch"] / least["fused"]}, rows, options.json)


if __name__ == "__main__":
    main()
