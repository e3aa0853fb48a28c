"""List the benchmarks, or run some of them in turn, each in a process of its own.

python -m bench                                                  # the list
python -m bench NAME ... [--quick] [--json DIR] [--data FOLDER]  # these
python -m bench all [--quick] [--json DIR] [--data FOLDER]       # all but the tools
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import DATA_VARIABLE, ROOT

BENCHMARKS = (
    "depthwise_se",
    "train_step",
    "optimizer",
    "loader",
    "reading",
    "throughput",
    "ops_accuracy",
    "baselines",
    "finetune",
    "starts",
    "end_to_end",
    "recipe_switch",
    "ranking_switches",
    "joint_vs_single",
    "search_time",
    "search_speed",
    "search_optimum",
    "predictor_quality",
    "search_quality",
    "replay",
    "early_stopping",
    "statistics_speed",
)
TOOLS = ("tabular.hpo_bench", "tabular.photos", "tabular.prior", "render_docs")
ALL = "all"
_LAST_LINES = 10


def title(name: str) -> str:
    """Return the first line of a file's docstring, without importing it."""
    source = (ROOT / "bench" / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def show() -> None:
    """Print every benchmark and tool with its title, and how to run them."""
    width = max(map(len, (*BENCHMARKS, *TOOLS)))
    for head, names in (("benchmarks", BENCHMARKS), ("tools", TOOLS)):
        print(f"{head}:")
        for name in names:
            print(f"  {name:{width}}  {title(name)}")
    print("\nrun one:   python -m bench.NAME [--quick] [--json FILE]    # --help tells its other options")
    print(f"run many:  python -m bench NAME ... (or {ALL}) [--quick] [--json DIR] [--data FOLDER]")


def run(name: str, options: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Run a benchmark, print the end of its stderr if it fails, and return whether it succeeded."""
    print(f"== {name}", flush=True)
    command = [sys.executable, "-m", f"bench.{name}", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        print(f"{name} failed with exit code {done.returncode}")
        print("\n".join(done.stderr.splitlines()[-_LAST_LINES:]))
    return done.returncode == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"benchmarks, or {ALL} (default: list them)")
    parser.add_argument("--quick", action="store_true", help="less of everything: minutes")
    parser.add_argument("--json", type=Path, metavar="DIR", help="write a file per benchmark there")
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help=f"of photos and tabular benchmarks, as {DATA_VARIABLE}"
    )
    options = parser.parse_args(arguments)
    if not options.names:
        show()
        return 0
    if unknown := sorted({*options.names} - {*BENCHMARKS, ALL}):
        parser.error(f"NAME is {unknown[0]!r}; it must be {ALL} or one of {', '.join(BENCHMARKS)}")
    if options.json is not None:
        options.json.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if options.data is not None:
        environment[DATA_VARIABLE] = str(options.data.resolve())
    failed = []
    for name in BENCHMARKS if ALL in options.names else dict.fromkeys(options.names):
        passed_on = ["--quick"] if options.quick else []
        if options.json is not None:
            passed_on += ["--json", str(options.json.resolve() / f"{name}.json")]
        if not run(name, passed_on, environment):
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
