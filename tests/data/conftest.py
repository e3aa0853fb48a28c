from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def write_image(path: Path, seed: int, size: tuple[int, int] = (40, 30)) -> None:
    """Write a smooth random image like a photo; the file's suffix decides the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def make_folder(tmp_path):
    """Provide a function that writes ``{"train/cat": 3, ...}``: so many images in each folder below a root."""

    def make(counts: dict[str, int], suffix: str = "jpg", size: tuple[int, int] = (40, 30)) -> Path:
        root = tmp_path / "photos"
        root.mkdir(exist_ok=True)
        for i, (folder, count) in enumerate(counts.items()):
            (root / folder).mkdir(parents=True, exist_ok=True)
            for j in range(count):
                write_image(root / folder / f"{j:03}.{suffix}", 1000 * i + j, size)
        return root

    return make
