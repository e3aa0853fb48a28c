"""What does it cost to know the content of a data set, and to read its files for the first time?

    python -m bench.reading [--quick] [--json FILE]

A folder of small JPEG files (32 px, 1 KB) is made and read: listed; loaded for the first time, which decodes and hashes
every file; loaded where the hashes are known; and its fingerprint computed where they are known, which is what decides
whether a run goes on. Then files of several sizes are decoded by one thread and by two, from which comes the size below
which one is used. All in turns, medians.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from PIL import Image

from bench import harness
from narsfast.common.images import Reading
from narsfast.data import FolderOptions, _decode, _folder, _listed

CLASSES = 10
SMALL = 32
SIDES = (32, 64, 144, 320)
THREADED = 600  # files of each size that are decoded by one thread and by two


def write_photos(folder: Path, files: int, side: int) -> None:
    """Write JPEG files of blurred noise, each with a content of its own."""
    random = np.random.default_rng(side)
    contents = []
    for _ in range(100):
        content = io.BytesIO()
        blurred = Image.fromarray(random.integers(0, 256, (side // 5, side // 5, 3), dtype=np.uint8))
        blurred.resize((side, side), Image.Resampling.BICUBIC).save(content, "jpeg", quality=85)
        contents.append(content.getvalue())
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
    for index in range(files):
        file = folder / f"class{index % CLASSES}" / f"{index:07}.jpg"
        file.write_bytes(contents[index % 100] + b"%d" % index)  # decoders ignore what follows the image


def knowing(folder: Path) -> dict[str, Callable[[], object]]:
    """Return what is timed of one folder, by name."""
    options = FolderOptions()

    def load(known: _listed.Content | None) -> _listed.Content:
        listing = _folder.list_folder(folder, options)
        dataset = _listed.load_listed(listing, SMALL, True, options, _decode.CACHE_BYTES, known)
        assert dataset.content is not None
        return dataset.content

    content = load(None)

    def fingerprint() -> int:
        listing = _folder.list_folder(folder, options)
        assert len(content.digests_of(listing)) == len(listing.names), "a file counts as changed"
        del content.__dict__["fingerprint"]  # which is kept
        return len(content.fingerprint)

    assert len(content.fingerprint) == 64
    return {
        "list the files": lambda: _folder.list_folder(folder, options).signature(),
        "fingerprint, hashes known": fingerprint,
        "load, nothing known": lambda: load(None),
        "load, hashes known": lambda: load(content),
    }


def decoding(folder: Path) -> dict[str, Callable[[], object]]:
    """Return what decodes a folder by one thread and by two."""
    listing = _folder.list_folder(folder, FolderOptions())

    def decode(threads: int) -> None:
        tiny = 2**62 if threads == 1 else 0
        with mock.patch.object(_decode, "_TINY", tiny), mock.patch("os.cpu_count", return_value=threads):
            _decode.Decoded(listing, 3, Reading(None, True, True))

    return {f"{threads} thread(s)": lambda threads=threads: decode(threads) for threads in (1, 2)}


def add(parser: argparse.ArgumentParser) -> None:
    """Add the option of this benchmark."""
    parser.add_argument("--files", type=int, help="small files (default: 100,000; quick: 5,000)")


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__, add=add)
    torch.set_num_threads(1)
    files = options.files or (5_000 if options.quick else 100_000)
    rounds = 3 if options.quick else 5
    rows: list[dict[str, object]] = []
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        write_photos(Path(scratch, "small"), files, SMALL)
        for what, seconds in harness.take_turns(knowing(Path(scratch, "small")), rounds).items():
            rows.append({"what": what, "files": files, "us_per_file": round(seconds / files * 1e6, 2)})
            name = what.replace(",", "").replace(" ", "_")
            figures[f"{name}_us_per_file"] = seconds / files * 1e6
        for side in SIDES:
            folder = Path(scratch, str(side))
            write_photos(folder, THREADED, side)
            median = int(np.median([file.stat().st_size for file in folder.glob("*/*")]))
            seconds = harness.take_turns(decoding(folder), rounds)
            one, two = seconds.values()
            rows.append(
                {
                    "what": f"decode {side} px, {median} bytes",
                    "files": THREADED,
                    "us_per_file_1_thread": round(one / THREADED * 1e6, 1),
                    "us_per_file_2_threads": round(two / THREADED * 1e6, 1),
                }
            )
    for row in rows:
        print(row)
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
