"""Compile every CUDA source for every device and record registers and spills.

    python .ci/cuda_registers.py [--quick] [--json FILE]

Needs nvcc, no device. The one figure that can be had without a GPU: a kernel that spills is slow wherever it runs.
"""

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
ARCHITECTURES = (75, 80, 86, 90, 100, 120)
ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)a?'")
SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")


def compile_source(source: Path, architectures: Sequence[int]) -> str:
    """Compile one source; return what ptxas says of it."""
    targets = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures]
    with tempfile.TemporaryDirectory() as scratch:
        command = ["nvcc", "-std=c++17", f"-I{ROOT / 'csrc'}", *targets, "-Xptxas", "-v", "-c", str(source)]
        done = subprocess.run(
            [*command, "-o", f"{scratch}/out.o"], capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return done.stderr


def rows_of(log: str, source: str) -> list[dict[str, object]]:
    """Return one row per kernel and architecture."""
    rows: list[dict[str, object]] = []
    for part in log.split("Compiling entry function")[1:]:
        entry, spills, registers = (
            p.search("Compiling entry function" + part) for p in (ENTRY, SPILLS, REGISTERS)
        )
        assert entry is not None
        assert spills is not None
        assert registers is not None
        row = {"source": source, "kernel": entry[1], "architecture": int(entry[2])}
        rows.append(row | {"registers": int(registers[1]), "spilled_bytes": int(spills[1]) + int(spills[2])})
    return rows


def demangle(rows: list[dict[str, object]]) -> None:
    """Give the kernels their names in the source."""
    names = "\n".join(str(row["kernel"]) for row in rows)
    done = subprocess.run(["c++filt"], input=names, capture_output=True, text=True, check=True)
    for row, name in zip(rows, done.stdout.splitlines(), strict=True):
        row["kernel"] = re.sub(r"narsfast::cuda::|\(anonymous namespace\)::|^void |\(.*\)$", "", name)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"compile for sm_{ARCHITECTURES[0]} only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures, rows and machine there")
    options = parser.parse_args()
    architectures = ARCHITECTURES[:1] if options.quick else ARCHITECTURES
    rows: list[dict[str, object]] = []
    for source in sorted((ROOT / "csrc").rglob("*.cu")):
        rows += rows_of(compile_source(source, architectures), source.name)
    demangle(rows)
    figures = {
        "kernels": len(rows),
        "most_registers": max(int(str(row["registers"])) for row in rows),
        "kernels_that_spill": sum(row["spilled_bytes"] != 0 for row in rows),
    }
    version = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    machine = {"nvcc": version.split()[-1]}
    if options.json is not None:
        options.json.write_text(
            json.dumps({"figures": figures, "rows": rows, "machine": machine}, indent=1) + "\n"
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
