"""What the scripts on tables share: their options, and judging many cases in processes, with results kept in a file."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import astuple, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from bench import harness
from bench.tabular.dataset import DESCRIPTIONS, Table, load_table
from narsfast.errors import UserError

PROCESSES = 2

Scores = dict[str, Any]
Judge = Callable[[Table, str, int, int], Scores | None]
"""Table, variant, size and seed to scores; None where the variant does not apply. A function of a module."""


@dataclass(frozen=True, order=True)
class Case:
    """One thing to judge.

    Attributes:
        seed: of everything random in it.
        table: name of the table.
        variant: what is judged.
        size: how many trainings it learns from.
    """

    seed: int
    table: str
    variant: str
    size: int


def arguments(
    description: str | None, tables: Sequence[str], seeds: int, add: Any = None
) -> argparse.Namespace:
    """The options of a script on tables: those of every script, and table, seeds and cache."""

    def add_all(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--table", type=Path, nargs="+", action="extend", metavar="T.yaml",
            help=f"descriptions (default: {', '.join(tables)} of bench/tabular/descriptions)",
        )  # fmt: skip
        parser.add_argument("--seeds", type=int, default=None, help=f"(default: {seeds}, quick: 2)")
        parser.add_argument(
            "--cache", type=Path, metavar="FILE", help="keep results there and do not repeat them"
        )
        if add is not None:
            add(parser)

    options = harness.arguments(description, data=True, add=add_all)
    options.table = options.table or [DESCRIPTIONS / f"{name}.yaml" for name in tables]
    options.seeds = options.seeds or (2 if options.quick else seeds)
    return options


class Tables:
    """Tables by name, each with its description.

    Attributes:
        paths: descriptions by the tables' names.
        data: folder of the tables' files.
    """

    def __init__(self, paths: Sequence[Path], data: Path | None) -> None:
        """Loads them; a wrong one ends the script with its sentence."""
        self.data = data
        try:
            self.paths = {load(path, data).name: path for path in paths}
        except UserError as error:
            raise SystemExit(str(error)) from None

    def __iter__(self) -> Iterator[Table]:
        return (load(path, self.data) for path in self.paths.values())

    def __getitem__(self, name: str) -> Table:
        return load(self.paths[name], self.data)


load = cache(load_table)


def run_cases(
    judge: Judge,
    cases: Sequence[Case],
    tables: Tables,
    version: Callable[[str], str],
    kept: Path | None = None,
    processes: int = PROCESSES,
) -> dict[Case, Scores]:
    """Judge the cases, those of one table and seed in one process, one torch thread each.

    Args:
        judge: gives the scores.
        cases: what to judge.
        tables: where the cases' tables are.
        version: a digest of what a variant's scores depend on beside its table.
        kept: file of results, one JSON object a line; results in it are not repeated while table and version
            are what they were.
        processes: how many at once; 1 is this process.

    Returns:
        Scores of the cases whose variant applies.
    """
    prints = {table.name: _fingerprint(table) for table in tables}
    keys = {case: json.dumps([*astuple(case), prints[case.table], version(case.variant)]) for case in cases}
    known = _read(kept)
    missing: dict[tuple[int, str], list[Case]] = defaultdict(list)
    for case in cases:
        if keys[case] not in known:
            missing[case.seed, case.table].append(case)
    for done, found in enumerate(_judged(judge, missing, tables, processes), start=1):
        known |= {keys[case]: scores for case, scores in found}
        if kept is not None:
            lines = [json.dumps({"key": keys[case], "scores": scores}) + "\n" for case, scores in found]
            with kept.open("a") as file:
                file.writelines(lines)
        print(
            f"{done} of {len(missing)} done",
            end="\r" if done < len(missing) else "\n",
            file=sys.stderr,
            flush=True,
        )
    return {case: scores for case, key in keys.items() if (scores := known[key]) is not None}


def _judged(
    judge: Judge, jobs: dict[tuple[int, str], list[Case]], tables: Tables, processes: int
) -> Iterator[list[tuple[Case, Scores | None]]]:
    """The scores of each job as it ends."""
    arguments = [(judge, tables.paths[name], tables.data, cases) for (_, name), cases in jobs.items()]
    if processes == 1:
        yield from (_work(*mine) for mine in arguments)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for job in as_completed([pool.submit(_work, *mine) for mine in arguments]):
            yield job.result()


def _work(judge: Judge, path: Path, data: Path | None, cases: list[Case]) -> list[tuple[Case, Scores | None]]:
    torch.set_num_threads(1)
    table = load(path, data)
    return [(case, judge(table, case.variant, case.size, case.seed)) for case in cases]


def _read(kept: Path | None) -> dict[str, Scores | None]:
    """What is kept; the last line is cut off where a run was stopped in the middle of it."""
    if kept is None or not kept.is_file():
        return {}
    lines = kept.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        kept.write_text("".join(lines[:-1]))
        lines.pop()
    rows = [json.loads(line) for line in lines]
    return {row["key"]: row["scores"] for row in rows}


def digest(sources: Sequence[Path]) -> str:
    """16 hex digits of the content of source files."""
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


def _fingerprint(table: Table) -> str:
    parts = (table.space.fingerprint(), *table.counter.names)
    arrays = (
        table.genes,
        table.statistics,
        table.targets,
        *(() if table.curves is None else (table.curves,)),
    )
    content = hashlib.sha256("/".join(parts).encode())
    for array in arrays:
        content.update(array.tobytes())
    return content.hexdigest()[:16]
