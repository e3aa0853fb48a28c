"""How many images a second does each loader deliver?

    python -m bench.loader [--quick] [--json FILE] [--data FOLDER]

From JPEG files to float32 batches of 64: random resized crop, mirroring, normalization; with RandAugment in half of the
rows. Two sizes: the photos as they are (short side 80 px) at 64 px, and the same photos enlarged to a short side of
400 px and saved with quality 90, at 224 px. Enlarged photos have less detail, so they are smaller files than real ones.

`torchvision` is what a user would write: a DataLoader with worker processes that stay, over ImageFolder and transforms
v2. `dali` and `narsfast torchvision` are the loaders of this project, reading the files in every pass; `..., memory`
takes images that were decoded once, as the trainer does while they fit. `Pillow + numpy` decodes and crops in a
pool of threads. One and two threads: of DALI and of the pools, beside the thread that takes the batches; or workers.

The batches of our two loaders are compared first (evaluation, in gray levels), and the shape and mean of the others'.
What is to be expected: decoding bounds all of them, by libjpeg-turbo in each; the rest is interpreter,
copies and resampling.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from bench import harness
from narsfast.data import Augmentation, Dataset, batches, open_loader
from narsfast.data._augment import training_crops
from narsfast.data._folder import load_folder

BATCH = 64
SIZES = {80: 64, 400: 224}
"""Short side of the photos -> resolution that they are loaded at, pixels."""
QUALITY = 90
IMAGES = {False: {80: 1536, 400: 768}, True: {80: 384, 400: 128}}
"""For a whole run and a quick one: images of a pass."""
ROUNDS = {False: {80: 9, 400: 3}, True: {80: 2, 400: 2}}
"""The same: passes of each loader, of which the median counts."""
FEW = 6
"""Photos per class in the other splits."""
LARGEST_DIFFERENCE = 1.5
"""Mean difference of evaluation pixels between our loaders that passes, gray levels."""


@contextmanager
def prepared(photos: Path, side: int, count: int) -> Iterator[Path]:
    """Give a folder with `count` training photos, of a short side of `side` px, and few for the other splits."""
    train = sorted(photos.glob("train/*/*.jpg"))
    evenly = [train[i] for i in np.linspace(0, len(train) - 1, count).astype(int)]
    others = [
        path
        for split in ("validation", "test")
        for folder in sorted(photos.glob(f"{split}/*"))
        for path in sorted(folder.glob("*.jpg"))[:FEW]
    ]
    with tempfile.TemporaryDirectory() as scratch:
        for path in (*evenly, *others):
            target = Path(scratch) / path.relative_to(photos)
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as image:
                factor = side / min(image.size)
                if abs(factor - 1) < 0.1:
                    shutil.copy(path, target)
                    continue
                size = (round(image.width * factor), round(image.height * factor))
                image.resize(size, Image.Resampling.BICUBIC).save(target, quality=QUALITY)
        yield Path(scratch)


def user_loader(root: Path, data: Dataset, resolution: int, policy: bool, workers: int) -> DataLoader[Any]:
    """Return the DataLoader that a user of torchvision would write."""
    preprocess = data.preprocess
    steps = [
        v2.RandomResizedCrop(resolution, preprocess.area, preprocess.ratio, antialias=True),
        v2.RandomHorizontalFlip(),
        *([v2.RandAugment()] if policy else []),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(preprocess.mean, preprocess.std),
    ]
    return DataLoader(
        ImageFolder(root / "train", v2.Compose(steps)),
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=True,
        multiprocessing_context="forkserver",  # DALI's threads do not survive a fork
    )


def pillow_numpy(data: Dataset, resolution: int, threads: int) -> Iterator[Tensor]:
    """Make one pass by hand: open, crop and resize, mirror, normalize."""
    images, preprocess = data.train.images, data.preprocess
    order = np.random.default_rng(0).permutation(len(data.train))
    mean, std = 255 * np.array(preprocess.mean, np.float32), 255 * np.array(preprocess.std, np.float32)

    def one(index: int, box: tuple[float, ...], mirror: bool) -> Any:
        with Image.open(images._paths[index]) as image:
            small = image.convert("RGB").resize((resolution, resolution), Image.Resampling.BILINEAR, box)
        pixels = (np.asarray(small, np.float32) - mean) / std
        return pixels[:, ::-1] if mirror else pixels

    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(order) - BATCH + 1, BATCH):
            part = order[start : start + BATCH]
            boxes, mirror = training_crops(images.sizes[part], part, preprocess, 0, 0)
            yield torch.from_numpy(np.stack(list(pool.map(one, part, map(tuple, boxes), mirror))))


def drain(passes: Callable[[], Any]) -> Callable[[], None]:
    """Return a call that makes a pass and takes every batch."""

    def call() -> None:
        for _ in passes():
            pass

    return call


def check(data: Dataset, user: DataLoader[Any], resolution: int) -> None:
    """Compare the loaders.

    Raises:
        AssertionError: Pixels differ, or a batch has another form or other statistics.
    """
    std = torch.tensor(data.preprocess.std).view(-1, 1, 1) * 255
    found, expected = (
        next(load(data.val, resolution, BATCH))[0] for load in (open_loader("dali").batches, batches)
    )
    assert float(((found - expected).abs() * std).mean()) < LARGEST_DIFFERENCE
    theirs, _ = next(iter(user))
    assert theirs.shape == (BATCH, 3, resolution, resolution)
    assert (
        abs(float(theirs.mean() - next(batches(data.train, resolution, BATCH, training=True))[0].mean()))
        < 0.5
    )


def variants(root: Path, side: int, policy: bool, threads: int) -> tuple[dict[str, Callable[[], None]], int]:
    """Return the calls, each one pass, and the images of a pass."""
    resolution = SIZES[side]
    files, memory = (load_folder(root, resolution, True, cache_bytes=size) for size in (0, 2**31))
    options = {"training": True, "augmentation": Augmentation("randaugment" if policy else "crop")}
    dali = open_loader("dali", threads=threads).batches
    user = user_loader(root, files, resolution, policy, threads)
    if not policy:
        check(files, user, resolution)
    calls = {
        "torchvision": drain(lambda: user),
        "dali": drain(lambda: dali(files.train, resolution, BATCH, **options)),
        "dali, memory": drain(lambda: dali(memory.train, resolution, BATCH, **options)),
        "narsfast torchvision": drain(lambda: batches(files.train, resolution, BATCH, **options)),
    }
    if threads == 1:  # has no threads of its own where nothing is decoded
        calls["narsfast torchvision, memory"] = drain(
            lambda: batches(memory.train, resolution, BATCH, **options)
        )
    if not policy:
        calls["Pillow + numpy"] = drain(lambda: pillow_numpy(files, resolution, threads))
    return calls, len(files.train) // BATCH * BATCH


def measure(photos: Path, quick: bool) -> list[dict[str, Any]]:
    """Time every loader at both sizes, with and without RandAugment, by one and two threads."""
    rows = []
    for side, count in IMAGES[quick].items():
        with prepared(photos, side, count) as root:
            for policy in (False, True):
                for threads in (1, 2):
                    torch.set_num_threads(threads)
                    calls, images = variants(root, side, policy, threads)
                    seconds = harness.take_turns(calls, ROUNDS[quick][side])
                    for name, value in seconds.items():
                        row = {
                            "loader": name,
                            "photos": side,
                            "resolution": SIZES[side],
                            "randaugment": policy,
                            "threads": threads,
                            "images_per_second": round(images / value, 1),
                        }
                        print(" ".join(f"{cell!s:>8}" for cell in row.values()), flush=True)
                        rows.append(row)
    return rows


def ratio(rows: list[dict[str, Any]], loader: str, side: int, policy: bool, threads: int) -> float:
    """Return the images a second of a loader over those of torchvision."""
    found = {
        row["loader"]: row["images_per_second"]
        for row in rows
        if (row["photos"], row["randaugment"], row["threads"]) == (side, policy, threads)
    }
    return float(found[loader] / found["torchvision"])


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__, data=True)
    with harness.photos(options.data) as photos:
        rows = measure(photos, options.quick)
    figures = {
        "dali_vs_torchvision": ratio(rows, "dali", 80, False, 2),
        "dali_vs_torchvision_1_thread": ratio(rows, "dali", 80, False, 1),
        "dali_memory_vs_torchvision": ratio(rows, "dali, memory", 80, False, 2),
        "dali_vs_torchvision_400": ratio(rows, "dali", 400, False, 2),
        "dali_vs_torchvision_randaugment": ratio(rows, "dali", 80, True, 2),
        "dali_vs_torchvision_randaugment_400": ratio(rows, "dali", 400, True, 2),
    }
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
