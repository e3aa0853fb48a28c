import dataclasses
import itertools
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from narsfast.data import Augmentation, batches, load_data, open_loader
from narsfast.data._batches import training_parts
from narsfast.data._dali import DaliBatches
from narsfast.data._dali_pipeline import Pipelines
from narsfast.data._dali_policy import policy
from narsfast.data._decode import FileImages
from narsfast.data._folder import load_folder
from narsfast.errors import UserError

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed (the extra `dali`)")

SIDE = 24
PHOTOS = {"train/a": 12, "train/b": 12, "val/a": 5, "val/b": 6, "test/a": 2, "test/b": 2}


@pytest.fixture(scope="module", params=[1, 3], ids=["one thread", "three threads"])
def dali(request):
    """One pipeline, and two that take turns."""
    return open_loader("dali", threads=request.param).batches


@pytest.fixture
def folder(make_folder):
    return make_folder(PHOTOS, size=(60, 44))


@pytest.fixture(params=["memory", "files"])
def photos(request, folder):
    return load_folder(folder, SIDE, True, cache_bytes=2**20 if request.param == "memory" else 0)


def unique(split):
    """Return the split with the sample as its label."""
    return dataclasses.replace(split, labels=np.arange(len(split)))


def by_sample(load, split, batch_size=6, **options):
    images = {}
    for x, y in load(unique(split), SIDE, batch_size, training=True, **options):
        images.update(zip(y.tolist(), x, strict=True))
    return images


def levels(difference, split):
    """Return a difference of normalized pixels in steps of the 256 gray levels."""
    return difference.abs() * 255 * torch.tensor(split.preprocess.std).view(-1, 1, 1)


def test_evaluation_is_close_to_the_reference(dali, photos):
    found, expected = (list(load(photos.val, SIDE, 4)) for load in (dali, batches))
    assert [len(y) for _, y in found] == [4, 4, 3]
    for (x, y), (reference, labels) in zip(found, expected, strict=True):
        assert y.equal(labels)
        assert x.shape == reference.shape
        assert x.dtype == torch.float32
        assert x.stride() == reference.stride()
        difference = levels(x - reference, photos.val)
        assert difference.mean() < 0.8
        assert difference.max() < 4.5


def test_crops_mirroring_and_order_are_those_of_the_reference(dali, photos):
    for options in ({"seed": 3, "epoch": 1}, {"augmentation": Augmentation("none")}):
        found, expected = (
            list(load(photos.train, SIDE, 7, training=True, **options)) for load in (dali, batches)
        )
        assert len(found) == len(expected) == 3
        for (x, y), (reference, labels) in zip(found, expected, strict=True):
            assert y.equal(labels)
            assert x.stride() == reference.stride()
            assert levels(x - reference, photos.train).mean() < 0.7


def test_digits_are_close_to_the_reference(dali):
    digits = load_data("digits")
    for options in ({}, {"training": True}):
        (x, y), (reference, labels) = (
            next(iter(load(digits.val, SIDE, 64, **options))) for load in (dali, batches)
        )
        assert y.equal(labels)
        assert x.shape == (64, 1, SIDE, SIDE)
        assert levels(x - reference, digits.val).mean() < 0.7


def test_pixels_are_a_function_of_seed_epoch_and_sample(dali, photos):
    """Also with a policy, and whatever the batch size, what ran before, and how many threads there are."""
    split = photos.train
    options = {"augmentation": Augmentation("trivialaugment", color=0.4, erasing=0.5)}
    first = by_sample(dali, split, seed=3, epoch=2, **options)
    other = by_sample(dali, split, seed=3, epoch=3, **options)
    again = by_sample(open_loader("dali", threads=2).batches, split, 8, seed=3, epoch=2, **options)
    assert first.keys() == again.keys() == set(range(24))
    assert all(first[i].equal(again[i]) for i in range(24))
    assert sum(first[i].equal(other[i]) for i in range(24)) < 3


@pytest.mark.parametrize("kind", ["randaugment", "autoaugment", "trivialaugment"])
def test_policies_are_as_strong_as_the_reference(dali, folder, kind):
    """Means and standard deviations of the images, and how far they are from unchanged ones."""
    split, augmentation = load_folder(folder, SIDE, True).train, Augmentation(kind)
    plain = by_sample(dali, split)
    seeds = range(4)
    found = [
        image
        for seed in seeds
        for image in by_sample(dali, split, seed=seed, augmentation=augmentation).values()
    ]
    assert torch.stack(found).isfinite().all()
    changed = by_sample(dali, split, augmentation=augmentation)
    assert sum(not changed[i].equal(plain[i]) for i in range(24)) > 12
    expected = [
        image
        for seed in seeds
        for image in by_sample(batches, split, seed=seed, augmentation=augmentation).values()
    ]
    for statistic in (torch.mean, torch.std):
        ours, theirs = (
            torch.tensor([float(statistic(image)) for image in images]) for images in (found, expected)
        )
        assert abs(ours.mean() - theirs.mean()) < 0.5 * max(ours.std(), theirs.std())
        assert 0.5 < ours.std() / theirs.std() < 2


def test_choices_of_policies_follow_the_published_shares():
    samples = np.arange(20_000)
    first, second = policy("randaugment").choose(samples, 0, 0, strength=5)
    counts = np.bincount(first.operation, minlength=15)
    assert counts[0] == 0
    assert (abs(counts[1:] / 20_000 - 1 / 14) < 0.01).all()
    assert (first.magnitude == 5).all()
    assert abs(first.sign.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(first.operation, second.operation)[0, 1]) < 0.03
    (half,) = policy("trivialaugment").choose(samples, 0, 0, strength=15)
    assert abs((half.operation > 0).mean() - 0.5) < 0.02
    assert np.bincount(half.magnitude).size == 31
    table = policy("autoaugment").table
    _, later = policy("autoaugment").choose(samples, 0, 0, strength=30)
    assert abs((later.operation > 0).mean() - table[:, 1, 1].mean()) < 0.02


def test_color_and_erasing_have_the_strength_asked_for(dali, photos):
    split = photos.train
    plain = by_sample(dali, split)
    erased = by_sample(dali, split, augmentation=Augmentation(erasing=1.0))
    for i in range(24):
        changed = erased[i] != plain[i]
        assert (erased[i][changed] == 0).all()
        assert 0.005 < changed.any(dim=0).float().mean() < 0.4
    some = by_sample(dali, split, augmentation=Augmentation(erasing=0.5))
    assert 5 < sum(some[i].equal(plain[i]) for i in range(24)) < 19
    colored = by_sample(dali, split, augmentation=Augmentation(color=0.1))
    distances = [levels(colored[i] - plain[i], split).mean() for i in range(24)]
    assert 0.5 < np.mean(distances) < 26  # a tenth of 255


def test_incomplete_last_batch_is_left_out_in_training(dali, photos):
    assert [len(y) for _, y in dali(photos.train, SIDE, 10)] == [10, 10, 4]
    assert [len(y) for _, y in dali(photos.train, SIDE, 10, training=True)] == [10, 10]
    assert [len(y) for _, y in dali(photos.train, SIDE, 100, training=True)] == [24]


@pytest.mark.parametrize("training", [True, False])
def test_shares_are_disjoint_and_together_the_epoch(dali, photos, training):
    split, options = unique(photos.train), {"training": training, "seed": 1, "epoch": 2}
    whole = {int(i): image for x, y in dali(split, SIDE, 8, **options) for i, image in zip(y, x, strict=True)}
    parts = []
    for rank in range(2):
        for x, y in dali(split, SIDE, 8, share=(rank, 2), **options):
            parts += y.tolist()
            assert all(image.equal(whole[int(i)]) for i, image in zip(y, x, strict=True))
    assert sorted(parts) == list(range(24))


def test_kept_batches_do_not_change(dali, photos):
    kept, copies = [], []
    for epoch in range(4):
        for images, _ in dali(photos.train, SIDE, 4, training=True, epoch=epoch):
            kept.append(images)
            copies.append(images.clone())
    assert all(images.equal(copy) for images, copy in zip(kept, copies, strict=True))
    kept[0].mul_(2)
    assert kept[0].equal(2 * copies[0])
    assert all(images.equal(copy) for images, copy in zip(kept[1:], copies[1:], strict=True))


def test_pass_that_is_left_early_does_not_change_the_next(dali, photos):
    expected = [y.tolist() for _, y in dali(unique(photos.train), SIDE, 4, training=True)]
    list(itertools.islice(dali(unique(photos.train), SIDE, 4, training=True, epoch=1), 1))
    side_by_side = zip(*(dali(unique(photos.train), SIDE, 4, training=True) for _ in range(2)), strict=True)
    again = [(a.tolist(), b.tolist()) for (_, a), (_, b) in side_by_side]
    assert again == [(labels, labels) for labels in expected]


@pytest.fixture
def odd_folder(make_folder):
    """Besides plain JPEGs: cut, without an end, damaged, no image, rotated, CMYK, palette, 16 bits, WebP, GIF."""
    root = make_folder({"train/a": 3, "train/b": 4, "val/a": 2, "val/b": 2, "test/a": 1, "test/b": 1})
    whole = (root / "train/b/000.jpg").read_bytes()
    (root / "train/a/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "train/a/no_end.jpg").write_bytes(whole[:-2])
    (root / "train/a/more.jpg").write_bytes(whole + b"more")
    damaged = bytearray(whole)
    damaged[-200:-180] = bytes(20)
    (root / "train/a/damaged.jpg").write_bytes(damaged)
    (root / "train/a/notes.txt").write_text("not an image")
    image = Image.open(root / "train/b/001.jpg")
    turned = Image.Exif()
    turned[274] = 6
    image.save(root / "train/a/turned.jpg", exif=turned)
    image.convert("CMYK").save(root / "train/a/cmyk.jpg")
    image.convert("L").save(root / "train/a/gray.jpg")
    image.quantize(16).save(root / "train/a/palette.png")
    image.save(root / "train/a/plain.png")
    image.save(root / "train/a/other.webp")
    image.save(root / "train/a/moving.gif")
    Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50).save(root / "train/a/deep.png")
    return root


def test_every_good_file_is_read_and_broken_ones_are_named(dali, odd_folder):
    data = load_folder(odd_folder, SIDE, True, cache_bytes=0)
    assert {skipped.file for skipped in data.skipped} == {
        f"train/a/{name}" for name in ("cut.jpg", "no_end.jpg", "notes.txt")
    }
    assert len(data.train) == 17
    (x, y), *_ = dali(data.train, SIDE, 32)
    (reference, labels), *_ = batches(data.train, SIDE, 32)
    assert y.equal(labels)
    assert levels(x - reference, data.train).mean(dim=(1, 2, 3)).max() < 1


@pytest.fixture
def refused(folder, monkeypatch):
    """Return data with one good file that DALI is given a part of, and the file."""
    data = load_folder(folder, SIDE, True, cache_bytes=0)
    path = data.train.images._paths[7]
    whole = FileImages._content

    def broken(self, index):
        content = whole(self, index)
        return content[:300] if content and self._paths[index] == path else content

    monkeypatch.setattr(FileImages, "_content", broken)
    return data, path


@pytest.mark.parametrize("training", [True, False])
def test_file_that_dali_cannot_decode_is_read_by_pillow(dali, refused, caplog, training):
    """A file that DALI refuses among good ones costs nothing but a warning."""
    data, path = refused
    with caplog.at_level(logging.WARNING):
        found = list(dali(data.train, SIDE, 4, training=training))
    expected = list(batches(data.train, SIDE, 4, training=training))
    assert caplog.text.count("DALI cannot decode it, so Pillow does") == 1
    assert str(path) in caplog.text
    for (x, y), (reference, labels) in zip(found, expected, strict=True):
        assert y.equal(labels)
        assert levels(x - reference, data.train).mean() < 0.7


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_pass_that_is_left_before_a_refused_file_ends_quietly(dali, refused):
    data, _ = refused
    place = [7 in part for part in training_parts(data.train.labels, 4, 0, 0)].index(True)
    for taken in range(1, place + 1):  # the file is among those that are read ahead
        running = dali(data.train, SIDE, 4, training=True)
        assert len(list(itertools.islice(running, taken))) == taken
        running.close()
    assert len(list(dali(data.train, SIDE, 4, training=True))) == 6


def test_failure_that_no_file_causes_is_raised(folder, monkeypatch, caplog):
    class Failing(Pipelines):
        def run(self, batches):
            list(batches)
            self.failed = True
            raise RuntimeError("out of memory")
            yield

    monkeypatch.setattr("narsfast.data._dali.Pipelines", Failing)
    data = load_folder(folder, SIDE, True, cache_bytes=0)
    with caplog.at_level(logging.WARNING), pytest.raises(RuntimeError, match="out of memory"):
        list(DaliBatches()(data.train, SIDE, 4, training=True))
    assert "cannot decode" not in caplog.text


def test_file_that_breaks_later_is_named(folder):
    data = load_folder(folder, SIDE, True, cache_bytes=0)
    path = data.train.images._paths[7]
    whole = path.read_bytes()
    for damage, message in (
        (lambda: path.write_bytes(whole[:200]), "has changed since it was read at first"),
        (path.unlink, "could be read at first and cannot be read now"),
    ):
        damage()
        for load in (open_loader("dali").batches, batches):
            with pytest.raises(UserError, match=f"{path} {message}"):
                list(load(data.train, SIDE, 4))


@pytest.mark.parametrize("share", [(0, 1), (1, 2)])
def test_split_too_large_to_keep_gives_the_same_batches(dali, folder, monkeypatch, share):
    data = load_folder(folder, SIDE, True, cache_bytes=0)
    expected = list(batches(data.train, SIDE, 5, share=share))
    monkeypatch.setattr("narsfast.data._batches._EVALUATION_CACHE", 0)
    found = list(dali(data.train, SIDE, 5, share=share))
    for (x, y), (reference, labels) in zip(found, expected, strict=True):
        assert y.equal(labels)
        assert levels(x - reference, data.train).mean() < 0.7


@pytest.mark.parametrize("gray", [30, 128, 220])
def test_color_jitter_is_close_to_the_reference(dali, make_folder, gray):
    """Of images that are dark or bright as a whole, brightness changes and contrast does not."""
    root = make_folder(PHOTOS)
    for path in root.glob("train/*/*.jpg"):
        Image.new("RGB", (40, 40), (gray, gray, gray)).save(path, quality=95)
    data = load_folder(root, SIDE, True)
    spreads = []
    for load in (dali, batches):
        plain, colored = (
            torch.cat(
                [
                    x
                    for epoch in range(8)
                    for x, _ in load(
                        data.train, SIDE, 24, training=True, epoch=epoch, augmentation=Augmentation(color=c)
                    )
                ]
            )
            for c in (0.0, 0.4)
        )
        spreads.append(float((colored - plain).mean(dim=(1, 2, 3)).std()))
    assert spreads[0] == pytest.approx(spreads[1], rel=0.2)


def test_missing_device_is_refused():
    with pytest.raises(UserError, match=r"cannot use CUDA device 99, as this machine has \d+ with a driver"):
        open_loader("dali", device=99)
    with pytest.raises(UserError, match="cannot use CUDA device -1"):
        open_loader("dali", device=-1)
    with pytest.raises(UserError, match="threads is 0; DALI needs at least 1"):
        open_loader("dali", threads=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_on_a_gpu_are_close_to_the_reference(dali, photos):
    load = open_loader("dali", device=0).batches
    for options in ({}, {"training": True, "augmentation": "randaugment", "color": 0.2, "erasing": 0.5}):
        for (x, y), (reference, labels) in zip(
            load(photos.train, SIDE, 8, **options), dali(photos.train, SIDE, 8, **options), strict=True
        ):
            assert x.device == y.device == torch.device("cuda:0")
            assert y.cpu().equal(labels)
            assert levels(x.cpu() - reference, photos.train).mean() < 2
