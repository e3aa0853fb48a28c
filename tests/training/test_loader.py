"""Trainings on photos by either loader."""

import numpy as np
import pytest
from PIL import Image

from narsfast.arch import NetworkSpec
from narsfast.data import load_data, open_loader
from narsfast.data._folder import load_folder
from narsfast.space import Recipe
from narsfast.training import TrainerSettings, evaluate, train

RECIPE = Recipe(batch_size=16, learning_rate=0.02, ema=False, warmup_epochs=0, augmentation="crop")

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed (the extra `dali`)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos of two classes, red and blue with noise; one file is broken."""
    root = tmp_path_factory.mktemp("photos")
    draws = np.random.default_rng(0)
    for label, name in enumerate(("blue", "red")):
        for index in range(60):
            pixels = draws.integers(0, 160, (6, 8, 3), dtype=np.uint8)
            pixels[..., 0 if label else 2] |= 96
            path = root / name / f"{index:03}.jpg"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels).resize((40, 30), Image.Resampling.BICUBIC).save(path)
    (root / "red" / "cut.jpg").write_bytes((root / "red" / "000.jpg").read_bytes()[:300])
    return root


@pytest.mark.parametrize("cache_bytes", [2**20, 0])
def test_training_by_dali_learns_and_is_reproducible(small, folder, cache_bytes):
    data = load_folder(folder, small.resolution, True, cache_bytes)
    settings = TrainerSettings(loader="dali")
    first, again = (
        train(NetworkSpec.of(small), RECIPE, data, 4, 3, settings=settings, keep_network=True)
        for _ in range(2)
    )
    assert [skipped.file for skipped in data.skipped] == ["red/cut.jpg"]
    assert (first.curve, first.losses) == (again.curve, again.losses)
    assert first.curve[-1] > 80
    by_dali = evaluate(first.network, data.val, small.resolution, loader=open_loader("dali"))
    assert by_dali.accuracy == first.curve[-1]
    reference = evaluate(first.network, data.val, small.resolution)
    assert abs(by_dali.logits - reference.logits).mean() < 0.1 * reference.logits.std()


def test_both_loaders_train_alike(small, folder):
    data = load_data(folder, small.resolution)
    curves = {
        name: train(NetworkSpec.of(small), RECIPE, data, 2, 3, settings=TrainerSettings(loader=name)).losses
        for name in ("dali", "torchvision", "auto")
    }
    assert curves["auto"] == curves["dali"] != curves["torchvision"]
    np.testing.assert_allclose(curves["dali"], curves["torchvision"], rtol=0.1)


def test_dali_trains_on_the_digits(small, few_digits):
    result = train(NetworkSpec.of(small), RECIPE, few_digits, 1, 0, settings=TrainerSettings(loader="dali"))
    assert result.outcome == "ok"


def test_epoch_that_ends_early_does_not_change_the_next_one_of_dali(small, folder):
    data = load_data(folder, small.resolution)
    settings = TrainerSettings(loader="dali")
    recipe = RECIPE.model_copy(update={"epochs_share": 0.5, "color": 0.4, "erasing": 0.5})
    short, whole = (
        train(NetworkSpec.of(small), chosen, data, 2, 3, settings=settings) for chosen in (recipe, RECIPE)
    )
    again = train(NetworkSpec.of(small), recipe, data, 2, 3, settings=settings)
    assert (short.curve, short.losses) == (again.curve, again.losses)
    assert short.losses != whole.losses
    assert whole.losses == train(NetworkSpec.of(small), RECIPE, data, 2, 3, settings=settings).losses
