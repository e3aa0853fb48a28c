"""Makes tables of real trainings on photos: what policies of search are replayed on.

    python -m bench.tabular.photos --runs DIR [--data FOLDER] [--photos NAME ...] [--kinds NAME ...] [--workers N]
                                   [--pack FOLDER] [--quick]

One job is one training; `DIR` keeps what came out of each, and a making that is stopped goes on from there. What is in
the tables of `bench/results/photos` is not trained again either, and their candidates are those that were drawn when
they were begun. Of each epoch and each held-out photo the table has whether the network is right and its cross-entropy,
so that one training gives validation splits of any size, and the truth beside them: the accuracy on all held-out photos.

Kinds of trainings, of clothing; of the signs and the digits half as many:

- main: 384 candidates of `mobile` at 64 px with 2 to 20 million multiply-adds, even in their logarithm, 12 epochs
  (digits: of `tiny` at 32 px with 0.3 to 4 million).
- repeats: the first 48 of these with four more seeds, each with another split.
- long: the first 48 of these with full schedules of 40 epochs.
- grid: 8 architectures of these with about the same multiply-adds, each by 6 of their recipes, with two seeds and
  splits.
- parent: 128 children of EfficientNet-Lite0 that use 60 to 100 % of 8, 16 and 32 million multiply-adds, half of them
  near evenly shrunk ones and the default recipe, for as many epochs as a trial, from the parent after as long a
  fine-tuning (digits: none).

Clothing has 2,000 photos to train on and 1,781 that are held out, the signs 1,031 and 1,031, the digits 997 and 800.
`--pack` writes the tables of what is there (`bench/tabular/photo_table.py` reads them).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import Tensor, nn

from bench import harness
from bench.finetune import draw_split, unpacked
from bench.tabular.photo_table import KINDS, Outcome, PhotoTable, read_table, write_table
from bench.trainings import starts_of
from narsfast import pipeline
from narsfast.arch import load_pretrained, specs_of
from narsfast.common.files import replacing
from narsfast.common.seeds import derive_seed
from narsfast.cost import Budget, Counter
from narsfast.data import Dataset, Split, shared_data
from narsfast.data._dataset import CachedImages
from narsfast.pipeline import resolve_config
from narsfast.pipeline._anchors import anchors, near_anchors
from narsfast.search import sample_bands, sample_pool
from narsfast.space import Candidate, Genes, Recipe, Space
from narsfast.training import InheritedStart, TrainerSettings, default_epochs, first_images, train_network

PARENT = "efficientnet_lite0"
SIDE = 144
EPOCHS, LONG_EPOCHS = 12, 40
REPEATS = 4
OF_KIND = {"parent": "parent", "grid": "grid"}
"""Kinds of trainings whose candidates are not the main ones."""
GRID = 8, 6
"""Architectures, and recipes that each is trained by."""
PARENT_BUDGETS = tuple(Budget(macs=macs) for macs in (8e6, 16e6, 32e6))


@dataclass(frozen=True)
class Photos:
    """A data set and how many trainings of it there are.

    Attributes:
        archive: Name in the data folder; empty for the digits that need none.
        train: Number of photos to train on; the others are held out.
        space: Of the candidates from scratch.
        resolution: Of these, pixels.
        macs: Their fewest and most multiply-adds.
        main: How many; the repeated and long ones are an eighth of them.
        parent: How many children of the parent.
    """

    archive: str
    train: int
    space: str
    resolution: int
    macs: tuple[float, float]
    main: int
    parent: int


PHOTOS = {
    "clothing": Photos("clothing_small_144.tar.gz", 2000, "mobile", 64, (2e6, 20e6), 384, 128),
    "signs": Photos("sign_digits_100.tar.gz", 1031, "mobile", 64, (2e6, 20e6), 192, 64),
    "digits": Photos("", 997, "tiny", 32, (0.3e6, 4e6), 192, 0),
}


@dataclass(frozen=True)
class Job:
    """One training: its place in a table, and what its seed and split come from."""

    photos: str
    kind: str
    number: int
    repeat: int

    @property
    def file(self) -> str:
        """Where its outcome is, in the folder of the run."""
        return f"{self.photos}/{self.kind}-{self.number:03d}-{self.repeat}.npz"


def jobs(names: Sequence[str], kinds: Sequence[str]) -> list[Job]:
    """Return all trainings, so ordered that tables which are stopped early have some of everything."""
    found: list[tuple[float, Job]] = []
    for name in names:
        photos = PHOTOS[name]
        counts = {
            "main": photos.main,
            "repeats": photos.main // 8,
            "long": photos.main // 8,
            "parent": photos.parent,
            "grid": GRID[0] * GRID[1],
        }
        seeds = {"repeats": range(1, REPEATS + 1), "grid": range(2)}
        for kind in kinds:
            count = counts[kind]
            for number in range(count):
                for repeat in seeds.get(kind, range(1)):
                    found.append(((number + 1) / count, Job(name, kind, number, repeat)))
    return [job for _, job in sorted(found, key=lambda entry: entry[0])]


# Candidates


TABLES = Path(__file__).parents[1] / "results" / "photos"


@lru_cache(maxsize=4)
def _begun(name: str, kind: str) -> PhotoTable | None:
    """Return the table that is there already."""
    file = TABLES / f"{name}-{kind}.npz"
    return read_table(file) if file.is_file() else None


def space_of(name: str, kind: str) -> Space:
    """Return the space whose candidates a table holds."""
    if kind == "parent":
        return pipeline.children_space([PARENT])
    fixed = {"space": PHOTOS[name].space, "fix": {"resolution": PHOTOS[name].resolution}}
    return Space.from_dict(resolve_config(fixed).space)


def counter_of(name: str, kind: str) -> Counter:
    """Return the counter of what these candidates cost."""
    return Counter(space_of(name, kind), 1 if name == "digits" else 3, 10)


@lru_cache(maxsize=4)
def candidates(name: str, kind: str) -> Genes:
    """Return the candidates of a kind of trainings in their order, canonical genes (n, F)."""
    if (begun := _begun(name, kind)) is not None:
        return space_of(name, kind).encode(
            [Candidate(one["architecture"], one["recipe"]) for one in begun.candidates]
        )
    counter, photos, seed = counter_of(name, kind), PHOTOS[name], derive_seed(0, name, kind)
    random = np.random.default_rng(seed)
    if kind == "grid":
        return _grid(name, random)
    if kind == "parent":
        budgets, half = PARENT_BUDGETS, photos.parent // 2
        pool = sample_bands(counter, budgets, 4 * photos.parent, seed)
        near = near_anchors(pool, counter, budgets, 4 * photos.parent, seed)
        first = anchors(counter, budgets)[0]
        rows = [random.permutation(len(genes)) for genes in (near.genes, pool.genes)]
        drawn = np.stack([near.genes[rows[0][:half]], pool.genes[rows[1][:half]]], axis=1)
        genes = np.concatenate([first, drawn.reshape(-1, drawn.shape[2])])
        kept = np.sort(np.unique(counter.space.keys(genes), return_index=True)[1])
        return genes[kept[: photos.parent]]
    low, high = photos.macs
    pool = sample_pool(counter, Budget(macs=(low, high)), 32 * photos.main, seed)
    costs = np.log(pool.statistics[:, counter.names.index("macs")])
    edges = np.linspace(np.log(low), np.log(high), photos.main + 1)
    rows = []
    for middle in (edges[1:] + edges[:-1]) / 2:
        rows.append(int(np.argmin(np.abs(costs - middle))))
        costs[rows[-1]] = np.inf  # taken
    return pool.genes[random.permutation(rows)]


def _grid(name: str, random: np.random.Generator) -> Genes:
    """Return architectures of the middle of the main candidates' multiply-adds, each with every recipe."""
    counter, genes = counter_of(name, "main"), candidates(name, "main")
    middle = np.log(counter(genes)[:, counter.names.index("macs")]) - np.log(PHOTOS[name].macs).mean()
    architectures = genes[np.argsort(np.abs(middle), kind="stable")[: GRID[0]]]
    recipes = genes[random.permutation(len(genes))[: GRID[1]]]
    found = np.repeat(architectures, GRID[1], axis=0)
    columns = [column for column, field in enumerate(counter.space.fields) if field.part == "recipe"]
    found[:, columns] = np.tile(recipes[:, columns], (GRID[0], 1))
    return counter.space.canonical(found)


# Trainings


@lru_cache(maxsize=2)
def _all_images(place: str, side: int) -> tuple[Dataset, list[np.ndarray]]:
    data = shared_data(place, side)
    pixels = [
        np.asarray(image)
        for split in (data.train, data.val, data.test)
        for image in split.images.read(np.arange(len(split)))
    ]
    return data, pixels


def split_images(place: str, side: int, train: int, split: int) -> tuple[Dataset, np.ndarray]:
    """Return data whose validation split is all that is held out, and which photos (n,) these are.

    Photos are numbered through the training, validation and test split of the data as they are; as many of each class
    are trained on as its share says.
    """
    data, pixels = _all_images(place, side)
    labels = np.concatenate([data.train.labels, data.val.labels, data.test.labels])
    order = np.random.default_rng(derive_seed(split, "split")).permutation(len(labels))
    # Ranks within each class, as shares: the smallest ones are trained on.
    share = np.empty(len(labels))
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        share[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    chosen = np.argsort(share, kind="stable")
    parts = {"train": np.sort(chosen[:train]), "val": np.sort(chosen[train:])}
    parts["test"] = parts["val"][:1]
    splits = {
        name: Split(name, labels[rows], CachedImages([pixels[row] for row in rows]), data.preprocess)
        for name, rows in parts.items()
    }
    return Dataset(data.name, data.classes, **splits, preprocess=data.preprocess), parts["val"]


def tuned_parent(job: Job, place: str, folder: str, quick: bool) -> tuple[Dataset, InheritedStart]:
    """Return the data as the parent wants them, and the start from it after it was fine-tuned on the same photos."""
    photos = PHOTOS[job.photos]
    data = split_images(place, SIDE, photos.train, job.repeat)[0].prepared(
        load_pretrained(PARENT).preparation
    )
    epochs = 1 if quick else default_epochs(photos.train, "parent", "trial")
    kept = Path(folder, job.photos, f"parent-{job.repeat}")
    kept.mkdir(exist_ok=True)
    seed = derive_seed(job.repeat, job.photos, "tuned")
    return data, starts_of(PARENT, data, PARENT_BUDGETS, epochs, seed, kept)[1]


def settle(job: Job, place: str, folder: str, quick: bool) -> Outcome:
    """Train once."""
    photos, first_kind = PHOTOS[job.photos], OF_KIND.get(job.kind, "main")
    space = space_of(job.photos, first_kind)
    genes = candidates(job.photos, first_kind)[job.number]
    (candidate,) = space.decode(genes[None])
    (network,), recipe = specs_of(space, [candidate]), Recipe.of(candidate.recipe)
    data, held_out = split_images(place, 144 if job.kind == "parent" else 80, photos.train, job.repeat)
    start, epochs = None, LONG_EPOCHS if job.kind == "long" else EPOCHS
    if job.kind == "parent":
        data, start = tuned_parent(job, place, folder, quick)
        epochs = default_epochs(photos.train, "parent", "trial")
    epochs = 2 if quick else epochs
    said: list[Tensor] = []

    def build() -> nn.Module:
        built = network.build(
            len(data.classes), data.in_chans, dropout=recipe.dropout, drop_path=recipe.drop_path
        )
        if start is not None:
            start.load(built, lambda: first_images(data, network.resolution))
        built.register_forward_hook(
            lambda module, _, logits: None if module.training else said.append(logits.float())
        )
        return built

    result = train_network(
        build,
        network.resolution,
        recipe,
        data,
        epochs=epochs,
        seed=derive_seed(job.repeat, job.photos, job.kind, job.number),
        settings=TrainerSettings(device="cpu", threads_per_trial=1),
    )
    logits = (
        torch.cat(said).view(len(result.curve), len(held_out), -1)
        if said
        else torch.zeros(0, len(held_out), 1)
    )
    return Outcome.of(logits, data.val.labels, result.losses, result.outcome, result.seconds, epochs)


def _kept(job: Job, place: str, folder: str, quick: bool) -> Job:
    outcome = settle(job, place, folder, quick)
    with replacing(Path(folder, job.file)) as temporary, temporary.open("wb") as opened:
        outcome.save(opened)
    return job


def restore(wanted: Sequence[Job], folder: Path) -> None:
    """Write what the tables hold into the folder, where it is missing there."""
    for name, kind in {(job.photos, job.kind) for job in wanted}:
        begun = _begun(name, kind)
        if begun is None:
            continue
        (folder / name).mkdir(exist_ok=True)
        for number, repeat, outcome in zip(
            begun.number.tolist(), begun.repeat.tolist(), begun.outcomes, strict=True
        ):
            file = folder / Job(name, kind, number, repeat).file
            if not file.is_file():
                with replacing(file) as temporary, temporary.open("wb") as opened:
                    outcome.save(opened)


def make(wanted: Sequence[Job], data: Path, folder: Path, workers: int, quick: bool) -> None:
    """Train what is missing."""
    places = {name: _place(name, data, folder) for name in {job.photos for job in wanted}}
    for name in places:
        (folder / name).mkdir(exist_ok=True)
    missing = [job for job in wanted if not (folder / job.file).is_file()]
    for job in {(job.photos, job.repeat): job for job in missing if job.kind == "parent"}.values():
        tuned_parent(job, places[job.photos], str(folder), quick)  # once, before several processes need it
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(_kept, job, places[job.photos], str(folder), quick) for job in missing]
        for number, done in enumerate(as_completed(running)):
            print(
                f"{len(wanted) - len(missing) + number + 1} of {len(wanted)}: {done.result().file}",
                flush=True,
            )


def table_of(made: Sequence[Job], data: Path, folder: Path) -> PhotoTable:
    """Return the table of the trainings of one kind that are there."""
    name, kind = made[0].photos, OF_KIND.get(made[0].kind, "main")
    drawn = space_of(name, kind).decode(candidates(name, kind))
    place = _place(name, data, folder)
    repeats = max(job.repeat for job in made) + 1
    return PhotoTable(
        [{"architecture": dict(one.architecture), "recipe": dict(one.recipe)} for one in drawn],
        np.array([job.number for job in made]),
        np.array([job.repeat for job in made]),
        np.stack([split_images(place, 80, PHOTOS[name].train, repeat)[1] for repeat in range(repeats)]),
        [Outcome.load(folder / job.file) for job in made],
    )


def _place(name: str, data: Path, folder: Path) -> str:
    """Return what the data are named by, unpacked."""
    archive = PHOTOS[name].archive
    if not archive:
        return "digits"
    return str(draw_split(unpacked(data / archive, folder / f"{name}-photos"), folder / f"{name}.csv", 0))


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", help="keep what is trained there, and go on from it"
    )
    parser.add_argument("--photos", nargs="+", choices=PHOTOS, default=list(PHOTOS), help="which data sets")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="which trainings")
    parser.add_argument("--workers", type=int, default=2, help="trainings at once")
    parser.add_argument(
        "--pack", type=Path, metavar="FOLDER", help="write the tables of what is there, train nothing"
    )


def main() -> None:
    """Make the tables."""
    options = harness.arguments(__doc__, data=True, add=_options)
    wanted = jobs(options.photos, options.kinds)
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.runs or Path(scratch)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        restore(wanted, folder)
        if options.pack is None:
            make(wanted[: 2 if options.quick else None], options.data, folder, options.workers, options.quick)
            return
        options.pack.mkdir(parents=True, exist_ok=True)
        for name in options.photos:
            for kind in options.kinds:
                made = [job for job in jobs([name], [kind]) if (folder / job.file).is_file()]
                if made:
                    table = table_of(made, options.data, folder)
                    file = options.pack / f"{name}-{kind}.npz"
                    write_table(file, table)
                    print(f"{file}: {len(table)} trainings, {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
