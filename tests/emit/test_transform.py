"""What an emitted folder makes of an image is what training and test saw of it, whatever the image."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from narsfast.arch import create
from narsfast.common.preparation import Preparation
from narsfast.data import FolderOptions, Preprocess, batches, load_data, open_loader
from narsfast.data._folder import load_folder
from narsfast.emit import DataFacts, describe_data, emit, load_transform

from .conftest import DEFINITION, RECIPE, measurements

SIDE = DEFINITION.resolution
SIZES = ((9, 7), (SIDE, SIDE), (45, 61), (20 * SIDE, 15 * SIDE))
"""From smaller than the network's input to 20 times as large."""

ALONE = """
import sys
for name in ("narsfast", "torch", "torchvision"):
    sys.modules[name] = None
import numpy as np
import preprocess
transform = preprocess.load()
np.savez(sys.argv[1], *[transform(file) for file in sys.argv[2:]])
"""


def photo(size, seed=0):
    """Make a smooth picture with every level in it."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def deep(size, highest=0xFFFF):
    return Image.fromarray(
        np.linspace(0, highest, size[0] * size[1]).reshape(size[1], size[0]).astype(np.uint16)
    )


def write_every_kind(folder):
    """Write images of all modes, depths and orientations that are read, each in all sizes."""
    for number, size in enumerate(SIZES):
        image = photo(size, number)
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            image.save(folder / f"{number}_turned{orientation}.jpg", exif=exif)
        image.save(folder / f"{number}_progressive.jpg", progressive=True, quality=60)
        image.convert("L").save(folder / f"{number}_gray.jpg")
        image.convert("CMYK").save(folder / f"{number}_cmyk.jpg")
        image.save(folder / f"{number}_rgb.png")
        image.quantize(16).save(folder / f"{number}_palette.png")
        image.convert("RGBA").save(folder / f"{number}_alpha.png")
        image.convert("LA").save(folder / f"{number}_gray_alpha.png")
        image.convert("1").save(folder / f"{number}_bits.png")
        image.save(folder / f"{number}_lossy.webp")
        image.quantize(16).save(folder / f"{number}_moving.gif")
        deep(size).save(folder / f"{number}_deep.png")
        deep(size).save(folder / f"{number}_deep.tif")
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(folder / f"{number}_turned.png", exif=exif)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for split, count in (("train", 4), ("val", 1)):
        for name in "ab":
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                photo((40, 30), i).save(root / split / name / f"{i}.png")
    for name in "ab":
        (root / "test" / name).mkdir(parents=True)
    write_every_kind(root / "test" / "a")
    photo((40, 30)).save(root / "test" / "b" / "0.png")
    return root


@pytest.fixture(scope="module", params=["memory", "files"])
def photos(request, root):
    data = load_folder(root, SIDE, True, cache_bytes=2**30 if request.param == "memory" else 0)
    assert not data.skipped
    return data


@pytest.fixture(scope="module", params=["data's own", "bicubic", "bilinear crop"])
def prepared(request, photos):
    """Provide the photos as they are, and as two pretrained networks are given theirs."""
    preparations = {
        "bicubic": Preparation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bicubic", 0.875),
        "bilinear crop": Preparation((0.5,) * 3, (0.5,) * 3, "bilinear", 0.9),
    }
    return photos.prepared(preparations.get(request.param))


@pytest.fixture(scope="module")
def files(root):
    return [*sorted((root / "test" / "a").iterdir()), root / "test" / "b" / "0.png"]


@pytest.fixture(scope="module")
def emitted_for(tmp_path_factory, without_onnx):
    """Emit a network for a data set."""

    def make(data):
        folder = tmp_path_factory.mktemp("networks") / "network"
        emit(
            folder,
            create(DEFINITION, len(data.classes), data.in_chans),
            RECIPE,
            describe_data(data),
            measurements(),
        )
        return folder

    return make


def seen(load, data):
    """Return what the network sees of the test split."""
    return torch.cat([images for images, _ in load(data.test, SIDE, 16)])


def test_transform_gives_the_pixels_of_the_test(prepared, files, emitted_for):
    transform = load_transform(emitted_for(prepared))
    expected = seen(batches, prepared)
    for file, image in zip(files, expected, strict=True):
        assert transform(file).equal(image), file.name
        assert transform(str(file)).equal(image), file.name
        assert transform(file.read_bytes()).equal(image), file.name
        with Image.open(file) as opened:
            assert transform(opened).equal(image), file.name
            assert opened.size == Image.open(file).size
            opened.load()  # it still can be


def test_emitted_folder_reads_images_alone(photos, files, emitted_for, tmp_path):
    """Its preprocess.py gives the same pixels in a process that has neither narsfast nor torch."""
    photos = photos.prepared(Preparation((0.5,) * 3, (0.25,) * 3, "bicubic", 0.9))
    folder = emitted_for(photos)
    command = [sys.executable, "-c", ALONE, str(tmp_path / "out.npz"), *map(str, files)]
    subprocess.run(command, cwd=folder, check=True, env={"PYTHONSAFEPATH": "", "PATH": ""})
    with np.load(tmp_path / "out.npz") as found:
        for file, name, image in zip(files, found.files, seen(batches, photos), strict=True):
            assert np.array_equal(found[name], image.numpy()), file.name


@pytest.mark.parametrize("cache_bytes", [2**30, 0])
@pytest.mark.parametrize(("interpolation", "limits"), [("bilinear", (4, 10)), ("bicubic", (7, 30))])
def test_dali_sees_nearly_the_same(root, files, emitted_for, cache_bytes, interpolation, limits):
    """docs/data.md states how far DALI is off: it shrinks by its own filter, and JPEGs from their full size."""
    pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed (the extra `dali`)")
    data = load_folder(root, SIDE, True, cache_bytes=cache_bytes)
    data = data.prepared(Preparation(data.preprocess.mean, data.preprocess.std, interpolation))
    scale = 255 * torch.tensor(data.preprocess.std).view(-1, 1, 1)
    found = seen(open_loader("dali", threads=2).batches, data)
    for file, image, expected in zip(files, found, seen(batches, data), strict=True):
        difference = (image - expected).abs() * scale
        sharp = "bits" in file.name  # patterns of black and white dots
        assert difference.mean() < (3 if sharp and interpolation == "bicubic" else 1), file.name
        assert difference.max() < limits[sharp], file.name


def test_image_that_was_decoded_before_is_close(photos, files, emitted_for):
    """Of a large JPEG, which training decodes smaller, the pixels are off by a few levels at most."""
    transform = load_transform(emitted_for(photos))
    scale = 255 * torch.tensor(photos.preprocess.std).view(-1, 1, 1)
    for file, expected in zip(files, seen(batches, photos), strict=True):
        with Image.open(file) as opened:
            opened.load()
            kept = opened.tobytes()
            difference = (transform(opened) - expected).abs() * scale
            assert opened.tobytes() == kept
        limit = 4 if file.suffix == ".jpg" and file.name[0] == "3" else 0
        assert difference.max() <= limit, file.name


@pytest.mark.parametrize("highest", [0xFF, 0x3FF, 0xFFF, 0x3FFF])
def test_network_of_few_bits_is_served_with_few_bits(tmp_path, emitted_for, highest):
    """Three classes of gray, a few levels of the camera apart, stay apart when they are served."""
    for number, share in enumerate((0.2, 0.5, 1.0)):
        (tmp_path / "photos" / f"class{number}").mkdir(parents=True)
        for i in range(4):
            image = Image.fromarray(np.full((20, 20), round(share * highest) - i, np.uint16))
            image.save(tmp_path / "photos" / f"class{number}" / f"{i}.png")
    data = load_data(tmp_path / "photos", SIDE)
    folder = emitted_for(data)
    assert json.loads((folder / "preprocessing.json").read_text())["bit_depth"] == highest.bit_length()
    transform = load_transform(folder)
    served = [transform(tmp_path / "photos" / f"class{number}" / "0.png") for number in range(3)]
    levels = [(image * torch.tensor(data.preprocess.std).view(3, 1, 1)).mean() * 255 for image in served]
    assert levels[1] - levels[0] > 60
    assert levels[2] - levels[1] > 100


def test_folder_of_version_0_2_reads_images_as_its_training_did(photos, files, emitted_for):
    """Its preprocessing.json says nothing of orientation and depth: photos are not turned, 16 bits are."""
    folder = emitted_for(photos)
    path = folder / "preprocessing.json"
    facts = json.loads(path.read_text())
    for name in ("short_side", "draft", "orient", "bit_depth"):
        del facts[name]
    path.write_text(json.dumps(facts))
    transform, old = load_transform(folder), FolderOptions("0.2", False, "0.2")
    data = load_folder(photos.root, SIDE, True, options=old)
    for file, expected in zip(files, seen(batches, data), strict=True):
        if file.name[0] != "3":  # larger images were shrunk once more in training
            shift = [
                (a - b) / s for a, b, s in zip(data.preprocess.mean, facts["mean"], facts["std"], strict=True)
            ]
            assert torch.allclose(transform(file), expected + torch.tensor(shift).view(3, 1, 1), atol=1e-5), (
                file.name
            )


@pytest.mark.parametrize("channels", [1, 3])
def test_transform_of_data_from_memory_is_that_of_the_test(digits, emitted_for, channels):
    from narsfast.data import dataset_from

    kind = "L" if channels == 1 else "RGB"
    pairs = [(photo(size, i).convert(kind), i % 2) for i, size in enumerate(SIZES * 2)]
    data = dataset_from(pairs, pairs, pairs, resolution=SIDE)
    transform = load_transform(emitted_for(data))
    for (image, _), expected in zip(pairs, seen(batches, data), strict=True):
        assert transform(image).equal(expected)
        file = io.BytesIO()
        image.save(file, "png")
        assert transform(file).equal(expected)


def test_facts_that_take_all_memory_are_refused(emitted_for, photos):
    folder = emitted_for(photos)
    path = folder / "preprocessing.json"
    facts = json.loads(path.read_text())
    for name, value in (("resolution", 10**6), ("bit_depth", 40), ("short_side", 0)):
        path.write_text(json.dumps(facts | {name: value}))
        with pytest.raises(ValueError, match=f"preprocessing.json is broken: {name} is {value}"):
            load_transform(folder)


def test_folder_of_usual_images_is_as_before(photos, emitted_for):
    """No word of the interpolation, of which version 0.2 knows nothing; a broken one is named."""
    folder = emitted_for(photos)
    texts = [(folder / name).read_text() for name in ("preprocessing.json", "emission.json")]
    assert not any("interpolation" in text for text in texts)
    path = folder / "preprocessing.json"
    path.write_text(json.dumps(json.loads(texts[0]) | {"interpolation": "nearest"}))
    with pytest.raises(ValueError, match=r"preprocessing.json is broken: interpolation is 'nearest'"):
        load_transform(folder)


def test_folder_says_how_images_are_prepared(photos, emitted_for):
    folder = emitted_for(photos.prepared(Preparation((0.1,) * 3, (0.3,) * 3, "bicubic", 0.875)))
    facts = json.loads((folder / "preprocessing.json").read_text())
    assert (facts["interpolation"], facts["crop"]) == ("bicubic", 0.875)
    assert (facts["mean"], facts["std"]) == ([0.1] * 3, [0.3] * 3)
    assert json.loads((folder / "emission.json").read_text())["data"]["interpolation"] == "bicubic"
    assert "antialiased bicubic" in (folder / "README.md").read_text()
    assert 'interpolation: "bicubic"' in (folder / "timm_args.yaml").read_text()


def test_facts_without_a_reading_are_those_of_version_0_2():
    facts = DataFacts("x", ("a", "b"), 3, (0.5,) * 3, (0.2,) * 3)
    assert facts.reading == Preprocess(3, (0.5,) * 3, (0.2,) * 3).reading
    assert (facts.reading.orient, facts.reading.bit_depth) == (False, None)
