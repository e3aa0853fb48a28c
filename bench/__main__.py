"""Runs every benchmark in turn, each in a process of its own: `python -m bench [--quick] [--json DIR] [--data DIR]`."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPTS = (
    "depthwise_se",
    "train_step",
    "optimizer",
    "loader",
    "throughput",
    "ops_accuracy",
    "ops_gradients",
    "depthwise_start",
    "baselines",
    "recipe_switch",
    "joint_vs_single",
    "search_time",
    "search_speed",
    "search_optimum",
    "predictor_quality",
    "search_quality",
    "early_stopping",
    "statistics_speed",
)
READ_DATA = (
    "loader",
    "throughput",
    "ops_accuracy",
    "ops_gradients",
    "depthwise_start",
    "baselines",
    "recipe_switch",
    "joint_vs_single",
    "predictor_quality",
    "search_quality",
    "early_stopping",
)
NEEDS: dict[str, str] = {}  # a program on PATH
_LAST_LINES = 10


def run(script: str, options: Sequence[str]) -> bool:
    """Print what the script prints, and of a failure the end of its stderr. True unless it failed."""
    print(f"== {script}", flush=True)
    program = NEEDS.get(script)
    if program is not None and shutil.which(program) is None:
        print(f"skipped: no {program} on PATH")
        return True
    command = [sys.executable, "-m", f"bench.{script}", *options]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        print(f"{script} failed with exit code {done.returncode}")
        print("\n".join(done.stderr.splitlines()[-_LAST_LINES:]))
    return done.returncode == 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything: minutes")
    parser.add_argument("--json", type=Path, metavar="DIR", help="write a file a script there")
    parser.add_argument("--data", type=Path, metavar="DIR", help="for the scripts that read tables or photos")
    options = parser.parse_args(arguments)
    if options.json is not None:
        options.json.mkdir(parents=True, exist_ok=True)
    failed = []
    for script in SCRIPTS:
        passed_on = ["--quick"] if options.quick else []
        if options.json is not None:
            passed_on += ["--json", str(options.json.resolve() / f"{script}.json")]
        if options.data is not None and script in READ_DATA:
            passed_on += ["--data", str(options.data.resolve())]
        if not run(script, passed_on):
            failed.append(script)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
