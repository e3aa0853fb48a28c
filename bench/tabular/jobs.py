"""What the benchmarks on tabular datasets share: options, and judging cases in processes with results kept in a file."""

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
from bench.tabular.dataset import DESCRIPTIONS, TabularDataset, load_dataset
from narsfast.errors import UserError

PROCESSES = 2
NAME_KEY = "table"
"""The key of a dataset's name in the rows of result files."""

Scores = dict[str, Any]
Judge = Callable[[TabularDataset, str, int, int], Scores | None]
"""Dataset, variant, size and seed to scores; None where the variant does not apply. A function of a module."""


@dataclass(frozen=True, order=True)
class Case:
    """One thing to judge.

    Attributes:
        seed: Of everything random in it.
        dataset: Name of the dataset.
        variant: What is judged.
        size: How many trainings it learns from.
    """

    seed: int
    dataset: str
    variant: str
    size: int


def arguments(
    description: str | None, datasets: Sequence[str], seeds: int, add: Any = None
) -> argparse.Namespace:
    """Parse the options of every benchmark, and dataset, seeds and cache."""

    def add_all(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--dataset", type=Path, nargs="+", action="extend", metavar="D.yaml",
            help=f"descriptions (default: {', '.join(datasets)} of bench/tabular/descriptions)",
        )  # fmt: skip
        parser.add_argument("--seeds", type=int, default=None, help=f"(default: {seeds}, quick: 2)")
        parser.add_argument(
            "--cache", type=Path, metavar="FILE", help="keep results there and do not repeat them"
        )
        if add is not None:
            add(parser)

    options = harness.arguments(description, data=True, add=add_all)
    options.dataset = options.dataset or [DESCRIPTIONS / f"{name}.yaml" for name in datasets]
    options.seeds = options.seeds or (2 if options.quick else seeds)
    return options


class Datasets:
    """Datasets by name, each with its description.

    Attributes:
        paths: Descriptions by the datasets' names.
        data: Folder of the datasets' files.
    """

    def __init__(self, paths: Sequence[Path], data: Path | None) -> None:
        """Load them; a wrong one ends the benchmark with its sentence."""
        self.data = data
        try:
            self.paths = {load(path, data).name: path for path in paths}
        except UserError as error:
            raise SystemExit(str(error)) from None

    def __iter__(self) -> Iterator[TabularDataset]:
        return (load(path, self.data) for path in self.paths.values())

    def __getitem__(self, name: str) -> TabularDataset:
        return load(self.paths[name], self.data)


load = cache(load_dataset)


def run_cases(
    judge: Judge,
    cases: Sequence[Case],
    datasets: Datasets,
    version: Callable[[str], str],
    kept: Path | None = None,
    processes: int = PROCESSES,
) -> dict[Case, Scores]:
    """Judge the cases, those of one dataset and seed in one process, one torch thread each.

    Args:
        judge: Gives the scores.
        cases: What to judge.
        datasets: Where the cases' datasets are.
        version: A digest of what a variant's scores depend on beside its dataset.
        kept: File of results, one JSON object per line; they are not repeated while dataset and version are the same.
        processes: How many at once; 1 is this process.

    Returns:
        Scores of the cases whose variant applies.
    """
    prints = {dataset.name: _fingerprint(dataset) for dataset in datasets}
    keys = {case: json.dumps([*astuple(case), prints[case.dataset], version(case.variant)]) for case in cases}
    known = _read(kept)
    missing: dict[tuple[int, str], list[Case]] = defaultdict(list)
    for case in cases:
        if keys[case] not in known:
            missing[case.seed, case.dataset].append(case)
    for done, found in enumerate(_judged(judge, missing, datasets, processes), start=1):
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
    judge: Judge, jobs: dict[tuple[int, str], list[Case]], datasets: Datasets, processes: int
) -> Iterator[list[tuple[Case, Scores | None]]]:
    """Yield the scores of each job as it ends."""
    arguments = [(judge, datasets.paths[name], datasets.data, cases) for (_, name), cases in jobs.items()]
    if processes == 1:
        yield from (_work(*mine) for mine in arguments)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for job in as_completed([pool.submit(_work, *mine) for mine in arguments]):
            yield job.result()


def _work(judge: Judge, path: Path, data: Path | None, cases: list[Case]) -> list[tuple[Case, Scores | None]]:
    torch.set_num_threads(1)
    dataset = load(path, data)
    return [(case, judge(dataset, case.variant, case.size, case.seed)) for case in cases]


def _read(kept: Path | None) -> dict[str, Scores | None]:
    """Return what is kept; a last line that a stopped run left half written is cut off."""
    if kept is None or not kept.is_file():
        return {}
    lines = kept.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        kept.write_text("".join(lines[:-1]))
        lines.pop()
    rows = [json.loads(line) for line in lines]
    return {row["key"]: row["scores"] for row in rows}


def digest(sources: Sequence[Path]) -> str:
    """Return 16 hex digits of the content of source files."""
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


def _fingerprint(dataset: TabularDataset) -> str:
    parts = (dataset.space.fingerprint(), *dataset.counter.names)
    arrays = (
        dataset.genes,
        dataset.statistics,
        dataset.targets,
        *(() if dataset.curves is None else (dataset.curves,)),
    )
    content = hashlib.sha256("/".join(parts).encode())
    for array in arrays:
        content.update(array.tobytes())
    return content.hexdigest()[:16]
