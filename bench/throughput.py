"""How many images a second, and how many candidates an hour, does the search train on this machine?

    python -m bench.throughput [--quick] [--json FILE] [--data FOLDER]

The same command on any machine: every loader (dali, torchvision), kind of ops (fused, torch) and precision (float32,
bfloat16; on CUDA float16 too) on the CPU and on each kind of GPU, with 1, 2, 4, ... trials side by side, up to one per
core or one per GPU. What the machine cannot do is left out, with a line that says why. Rows of other devices that FILE
has already stay in it, and so do figures of a kind of device that this machine has not: one file for several machines.

A case is what a search does: as many trials as workers, handed together to `narsfast.runs.Processes` and trained by
`narsfast.training.run_trial`, with one thread each and all else by default. All train one network of `mobile` (10.2 M
multiply-adds at 64 px) for one epoch by the recipe of `bench.ops_accuracy`, in batches of 32, on every second of the
clothing photos, in a quick run on every sixth. The workers stay from case to case. The first call of a case warms them
up (data, kernels, DALI's graphs) and must end well; then the cases take turns, three rounds, one in a quick run.

`images_per_second`: training images of all trials of a call over the median of the seconds from handing them over to
the end of the last. Loading, forward, backward and optimizer are in it, and so is validation after the epoch on an
equal part of its split, as a search pays for that too.
`candidates_per_hour`: trainings of the first batch, 8 epochs (the default of `narsfast run`) of all full batches of
the training photos, that this rate gives in an hour.

Figures: `throughput_best_images_per_s_cpu` (`_cuda` where there is a GPU) is the rate of the best row;
`throughput_vs_plain` is the best row of the CPU over the one with as many workers, the torchvision loader, torch's
modules and float32. That all cases compute the same within rounding is for the tests of loaders, ops and precisions.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from bench import harness
from bench.ops_accuracy import RECIPE
from narsfast import _native
from narsfast.arch import Definition, NetworkSpec
from narsfast.data import resolve_loader
from narsfast.errors import UserError
from narsfast.pipeline import RunConfig
from narsfast.runs import Executor, Processes, run_trials
from narsfast.runs._processes import visible_gpus
from narsfast.training import TrainerSettings, TrialTask, run_trial

DEFINITION = Definition.from_dict(
    {
        "name": "mobile, 10M",
        "resolution": 64,
        "stem_channels": 16,
        "stages": [
            [[3, 1, 16, 1, 1, False, None], [3, 1, 16, 1, 1, False, None]],
            [[5, 5, 16, 2, 1, False, None]],
            [[3, 6, 48, 2, 1, False, None], [3, 5, 48, 1, 1, False, None]],
            [[5, 2, 80, 2, 1, True, None]],
            [[5, 6, 88, 1, 1, True, None]],
            [[5, 6, 112, 2, 1, True, None], [5, 3, 112, 1, 2, True, None]],
        ],
        "head_expansion": 4,
        "head_features": 1024,
    }
)
EVERY = {False: 2, True: 6}
"""For a whole run and a quick one: one photo of so many."""
ROUNDS = {False: 3, True: 1}
EPOCHS: int = RunConfig.model_fields["epochs"].default


class Case(NamedTuple):
    """One way to train."""

    loader: str
    ops: str
    precision: str


PLAIN = Case("torchvision", "torch", "float32")


@dataclass(frozen=True)
class Place:
    """Devices of one kind.

    Attributes:
        device: As `TrainerSettings` names it.
        name: Of the processor or the GPU.
        most: Largest number of workers.
        visible: The GPUs, as CUDA_VISIBLE_DEVICES takes them; None on the CPU.
    """

    device: Literal["cpu", "cuda"]
    name: str
    most: int
    visible: str | None = None


def places() -> list[Place]:
    """Return the CPU, and a place for each kind of GPU; print where there is none."""
    found = [Place("cpu", harness.machine()["cpu"], len(os.sched_getaffinity(0)))]
    kinds: dict[str, list[str]] = {}
    for index, name in enumerate(visible_gpus(None, os.environ.get("CUDA_VISIBLE_DEVICES"))):
        kinds.setdefault(torch.cuda.get_device_name(index), []).append(name)
    if not kinds:
        print("left out: all rows of cuda, as torch finds no CUDA device")
    return found + [Place("cuda", kind, len(names), ",".join(names)) for kind, names in kinds.items()]


def cases(device: str) -> list[Case]:
    """Return the cases of a device; print what is left out, and why."""
    loaders, ops, precisions = ["dali", "torchvision"], ["fused", "torch"], ["float32", "bfloat16"]
    try:
        resolve_loader("dali")
    except UserError as error:
        loaders.remove("dali")
        print(f"left out: rows of dali on {device}, as {error}")
    if device == "cuda" and not _native.has_cuda():
        ops.remove("fused")
        print(
            "left out: rows of fused on cuda, as this install has no CUDA kernels (NARSFAST_CUDA=ON builds them)"
        )
    if device == "cuda":
        precisions.append("float16")
    else:
        print("left out: rows of float16 on cpu, where the fused kernels do not take it")
    return [Case(*case) for case in product(loaders, ops, precisions)]


def worker_counts(most: int) -> list[int]:
    """Return 1, 2, 4, ... and `most`."""
    return sorted({most, *(2**power for power in range(most.bit_length()) if 2**power <= most)})


@contextmanager
def part_of(photos: Path, every: int) -> Iterator[Path]:
    """Give a folder with one file of `every` of each class of each split."""
    with tempfile.TemporaryDirectory() as scratch:
        for folder in filter(Path.is_dir, photos.glob("*/*")):
            target = Path(scratch) / folder.relative_to(photos)
            target.mkdir(parents=True)
            for path in sorted(folder.iterdir())[::every]:
                shutil.copy(path, target)
        yield Path(scratch)


def images_of_an_epoch(photos: Path) -> int:
    """Count the images in the full batches of the training split."""
    count = sum(1 for _ in (photos / "train").glob("*/*"))
    return count // RECIPE.batch_size * RECIPE.batch_size


@contextmanager
def executor_at(place: Place, workers: int) -> Iterator[Executor]:
    """Give workers that see the GPUs of the place, one each."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    if place.visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = place.visible
    try:
        with Processes(workers, gpus=0 if place.visible is None else place.most) as executor:
            yield executor
    finally:
        if before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before
        elif place.visible is not None:
            del os.environ["CUDA_VISIBLE_DEVICES"]


def seconds(executor: Executor, case: Case, device: Literal["cpu", "cuda"], workers: int, data: str) -> float:
    """Return the wall-clock time of as many trials as workers.

    Raises:
        UserError: A trial did not end well.
    """
    settings = TrainerSettings.model_validate({**case._asdict(), "device": device})
    recipe = RECIPE.model_dump()
    tasks = [
        TrialTask(
            str(seed), NetworkSpec.of(DEFINITION), recipe, data, 1, 1, seed, settings, data_resolution=64
        )
        for seed in range(workers)
    ]
    start = time.perf_counter()
    for trial in run_trials(executor, run_trial, tasks):
        if trial.outcome != "ok":
            raise UserError(f"a training {trial.outcome}: {trial.message}")
    return time.perf_counter() - start


def measure(
    place: Place, workers: int, chosen: Sequence[Case], data: Path, rounds: int
) -> list[dict[str, Any]]:
    """Time the cases: a row each, which has the reason, `failed`, in place of a rate where a training failed."""
    failed: dict[Case, str] = {}
    times: dict[Case, list[float]] = {case: [] for case in chosen}
    with executor_at(place, workers) as executor:
        for case in chosen:
            try:
                seconds(executor, case, place.device, workers, str(data))
            except UserError as error:
                failed[case] = str(error)
        for _ in range(rounds):
            for case in chosen:
                if case not in failed:
                    times[case].append(seconds(executor, case, place.device, workers, str(data)))
    images = workers * images_of_an_epoch(data)
    where = {"device": place.device, "name": place.name, "workers": workers}
    return [
        {**where, **case._asdict()}
        | (
            {"failed": failed[case]}
            if case in failed
            else {"images_per_second": round(images / statistics.median(times[case]), 1)}
        )
        for case in chosen
    ]


def figures_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the best rate of each device, and the CPU's over the plain one's."""
    figures = {}
    for device in ("cpu", "cuda"):
        found = [row for row in rows if row["device"] == device and "failed" not in row]
        if found:
            best = max(found, key=lambda row: row["images_per_second"])
            figures[f"throughput_best_images_per_s_{device}"] = best["images_per_second"]
            plain = {row["workers"]: row["images_per_second"] for row in found if case_of(row) == PLAIN}
            if device == "cpu" and best["workers"] in plain:
                figures["throughput_vs_plain"] = best["images_per_second"] / plain[best["workers"]]
    return figures


def case_of(row: Mapping[str, Any]) -> Case:
    """Return the case of a row."""
    return Case(row["loader"], row["ops"], row["precision"])


def all_rows(photos: Path, quick: bool) -> list[dict[str, Any]]:
    """Time everything; print each row as it is found."""
    images = EPOCHS * images_of_an_epoch(photos)
    rows = []
    with part_of(photos, EVERY[quick]) as data:
        for place in places():
            chosen = cases(place.device)
            print(f"left out: rows of more than {place.most} workers on {place.name}, as there are no more")
            for workers in worker_counts(place.most):
                for row in measure(place, workers, chosen, data, ROUNDS[quick]):
                    if "failed" not in row:
                        row["candidates_per_hour"] = round(3600 * row["images_per_second"] / images, 1)
                    print(
                        "  ".join(f"{cell!s:>11}" for key, cell in row.items() if key != "name"), flush=True
                    )
                    rows.append(row)
    return rows


def merged(
    file: Path | None, measured: Sequence[dict[str, Any]]
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return figures and rows of the file, with those measured instead of the same devices' earlier rows."""
    if file is None or not file.exists():
        return figures_of(measured), list(measured)
    known = json.loads(file.read_text())
    names = {row["name"] for row in measured}
    others = [row for row in known["rows"] if row["name"] not in names]
    return known["figures"] | figures_of(measured), others + list(measured)


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__, data=True)
    with harness.photos(options.data) as photos:
        measured = all_rows(photos, options.quick)
    figures, rows = merged(options.json, measured)
    harness.report(figures, rows, options.json)
    if failed := sum("failed" in row for row in measured):
        raise SystemExit(f"{failed} of {len(measured)} cases failed; their rows say why")


if __name__ == "__main__":
    main()
