import importlib.util
import shutil
import sys
from argparse import Namespace

import pytest
import torch
import yaml
from torch import nn

from narsfast.arch import create
from narsfast.data import Preprocess
from narsfast.emit import DataFacts, timm_arguments, timm_network
from narsfast.errors import UserError
from narsfast.space import OptimizerInfo, Recipe, TimmOptimizer, _optimizers, add_optimizer, optimizer_info
from narsfast.training._schedule import learning_rate

from .conftest import DEFINITION, RECIPE

FACTS = DataFacts("photos", ("a", "b"), 3, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), crop=0.8)


def arguments(recipe: Recipe, facts: DataFacts = FACTS, epochs: int = 20) -> dict:
    text = timm_arguments(DEFINITION, recipe, facts, name="narsfast_x", epochs=epochs, seed=3)
    return yaml.safe_load(text)


def test_arguments_have_the_values_of_the_recipe():
    given = arguments(RECIPE)
    expected = {
        "model": "narsfast_x",
        "num_classes": 2,
        "input_size": [3, 32, 32],
        "img_size": 32,
        "opt": "rmsproptf",
        "opt_eps": optimizer_info("rmsprop").epsilon,
        "lr": 0.02,
        "weight_decay": 1e-5,
        "mixup": 0.2,
        "drop": 0.1,
        "drop_path": 0.05,
        "smoothing": 0.1,
        "model_ema": True,
        "model_ema_decay": 0.99985,
        "epochs": 20,
        "batch_size": 32,
        "seed": 3,
        "hflip": 0.5,
        "crop_pct": 0.8,
    }
    assert {key: given[key] for key in expected} == expected
    assert all(not isinstance(value, str) for key, value in given.items() if key in expected and "lr" in key)


def test_balance_of_classes_has_no_counterpart():
    assert "class_balance" not in timm_arguments(DEFINITION, RECIPE, FACTS, name="x", epochs=3, seed=0)
    balanced = RECIPE.model_copy(update={"class_balance": "sampling"})
    text = timm_arguments(DEFINITION, balanced, FACTS, name="x", epochs=3, seed=0)
    assert "# class_balance: sampling here; the script has no counterpart" in text
    assert arguments(balanced) == arguments(RECIPE)


def test_rates_by_depth_and_frozen_layers_are_named():
    plain = timm_arguments(DEFINITION, RECIPE, FACTS, name="x", epochs=3, seed=0)
    assert not any(word in plain for word in ("layer_decay", "head_factor", "frozen"))
    tuned = RECIPE.model_copy(
        update={"layer_decay": 0.8, "head_factor": 3.0, "frozen": 0.4, "frozen_until": 0.5}
    )
    text = timm_arguments(DEFINITION, tuned, FACTS, name="x", epochs=3, seed=0)
    assert arguments(tuned) == arguments(RECIPE) | {"layer_decay": 0.8}
    assert "# head_factor: 3 here; the script has no rate for the classifier alone" in text
    assert "# frozen: 0.4 of the layers for 0.5 of the epochs here; the script freezes nothing" in text


def test_seed_has_32_bits():
    text = timm_arguments(DEFINITION, RECIPE, FACTS, name="x", epochs=3, seed=2**62 + 5)
    assert yaml.safe_load(text)["seed"] == 5  # numpy's global generator takes 32 bits


def test_sgd_has_its_scaled_learning_rate():
    given = arguments(Recipe(optimizer="sgd", learning_rate=0.01, sgd_factor=4.0))
    assert given["opt"] == "sgd"
    assert given["lr"] == pytest.approx(0.04)
    assert "opt_eps" not in given


@pytest.mark.parametrize(
    ("info", "expected", "said"),
    [
        (OptimizerInfo("lion", ""), {"momentum": 0.8}, "# opt: none: timm has no counterpart of lion"),
        (
            OptimizerInfo("mine", "", reads=("momentum", "beta2"), epsilon=1e-7, timm=TimmOptimizer("nadam")),
            {"opt": "nadam", "opt_eps": 1e-7, "opt_betas": [0.8, 0.999]},
            'opt: "nadam"\n',
        ),
    ],
    ids=["without a counterpart", "with one"],
)
def test_registered_optimizer_is_exported_by_its_counterpart_or_says_that_there_is_none(
    info, expected, said, monkeypatch
):
    monkeypatch.setattr(_optimizers, "_registry", dict(_optimizers._registry))
    add_optimizer(info)
    recipe = Recipe(optimizer=info.name, learning_rate=0.01, momentum=0.8)
    given = arguments(recipe)
    names = ("opt", "opt_eps", "opt_betas", "momentum")
    assert {name: given[name] for name in names if name in given} == expected
    assert given["lr"] == 0.01
    assert said in timm_arguments(DEFINITION, recipe, FACTS, name="x", epochs=3, seed=0)


def test_augmentations_have_their_arguments():
    assert arguments(Recipe(augmentation="none"))["no_aug"] is True
    crop = arguments(Recipe(augmentation="crop"))
    assert "aa" not in crop
    assert crop["scale"] == list(Preprocess.area)
    assert crop["color_jitter"] == 0.0
    assert arguments(Recipe(augmentation="autoaugment"))["aa"] == "original"
    still = DataFacts("digits", ("a", "b"), 1, (0.5,), (0.2,), mirror=False)
    assert arguments(Recipe(augmentation="randaugment"), still)["hflip"] == 0.0


def test_strengths_of_policies_have_their_arguments():
    def policy(name, strength):
        return arguments(Recipe(augmentation=name, augmentation_strength=strength))["aa"]

    assert policy("randaugment", None) == policy("randaugment", 9) == "rand-m3-n2-p1.0"
    assert policy("randaugment", 30) == "rand-m10-n2-p1.0"
    assert policy("trivialaugment", None) == "rand-m10-n1-p1-mstd101"
    assert policy("trivialaugment", 15) == "rand-m10-n1-p0.5-mstd101"
    assert policy("autoaugment", 15) == "original"


def test_mixup_cutmix_erasing_and_jitter_have_their_arguments():
    given = arguments(Recipe(mixup=0.2, cutmix=1.0, erasing=0.25, color=0.4))
    expected = {"mixup": 0.2, "cutmix": 1.0, "mixup_switch_prob": 0.5, "reprob": 0.25, "color_jitter": 0.4}
    assert {key: given[key] for key in expected} == expected
    assert given["remode"] == "const"


def test_shortened_training_has_fewer_epochs():
    given = arguments(Recipe(epochs_share=0.5, warmup_epochs=2.0, lr_final=0.1), epochs=20)
    assert (given["epochs"], given["warmup_epochs"]) == (10, 1.0)
    assert given["decay_rate"] == pytest.approx(0.1 ** (1 / 10))


def test_training_resolution_is_the_input_size():
    given = arguments(Recipe(train_resolution=0.75))
    assert given["input_size"] == [3, 24, 24]
    assert given["img_size"] == 24


def test_ema_decay_is_left_out_without_ema():
    given = arguments(Recipe(ema=False))
    assert given["model_ema"] is False
    assert "model_ema_decay" not in given


timm = pytest.importorskip("timm", reason="the [timm] extra is not installed")


@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_timm_builds_adamw_and_lamb(optimizer):
    from timm.optim import create_optimizer_v2, optimizer_kwargs

    recipe = Recipe(
        optimizer=optimizer, learning_rate=0.02, beta2=0.99, weight_decay=1e-5, adamw_decay_factor=1000.0
    )
    script = Namespace(momentum=0.5, **arguments(recipe))  # the script's own default is there, and not read
    built = create_optimizer_v2(nn.Linear(4, 4), **optimizer_kwargs(script))
    assert type(built).__name__.lower().removesuffix("legacy") == optimizer
    for group in built.param_groups:
        assert group["lr"] == pytest.approx(0.004)
        assert tuple(group["betas"]) == (0.9, 0.99)
        assert group["eps"] == optimizer_info(optimizer).epsilon
    assert sorted(group["weight_decay"] for group in built.param_groups) == [0.0, pytest.approx(0.01)]


@pytest.mark.parametrize("optimizer", ["rmsprop", "sgd"])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_timm_builds_the_optimizer(optimizer, momentum):
    from timm.optim import create_optimizer_v2, optimizer_kwargs

    recipe = Recipe(optimizer=optimizer, learning_rate=0.02, momentum=momentum, weight_decay=1e-4)
    built = create_optimizer_v2(
        nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), **optimizer_kwargs(Namespace(**arguments(recipe)))
    )
    decays = {
        tuple(weight.shape): group["weight_decay"]
        for group in built.param_groups
        for weight in group["params"]
    }
    assert decays == {(4, 4): 1e-4, (4,): 0.0}
    for group in built.param_groups:
        assert group["lr"] == pytest.approx(0.02 if optimizer == "rmsprop" else 0.08)
        assert group["momentum"] == momentum
        if optimizer == "sgd":
            assert group["nesterov"] == (momentum > 0)
        else:
            assert group["eps"] == optimizer_info(optimizer).epsilon


@pytest.mark.parametrize("warmup", [0.0, 2.0, 1.5])
@pytest.mark.parametrize("by", ["step", "epoch"])
@pytest.mark.parametrize("schedule", ["exponential", "cosine", "step"])
def test_timm_schedules_the_same_learning_rate(warmup, schedule, by):
    from timm.scheduler import create_scheduler_v2
    from timm.scheduler.scheduler_factory import scheduler_kwargs

    recipe, steps = Recipe(learning_rate=0.02, warmup_epochs=warmup, lr_final=0.1), 10
    recipe = recipe.model_copy(update={"schedule": schedule, "schedule_by": by})
    given = arguments(recipe, epochs=12)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=given["lr"])
    kwargs = scheduler_kwargs(Namespace(**given))
    scheduler, epochs = create_scheduler_v2(optimizer, updates_per_epoch=steps, **kwargs)
    assert epochs == 12
    for epoch in range(2, 12):
        scheduler.step_update(epoch * steps)
        scheduler.step(epoch)
        expected = learning_rate(recipe, epoch * steps, steps, 12)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-6), epoch


@pytest.mark.parametrize("augmentation", ["randaugment", "autoaugment", "trivialaugment"])
def test_timm_knows_the_policy(augmentation):
    from PIL import Image
    from timm.data.auto_augment import auto_augment_transform, rand_augment_transform

    policy = arguments(Recipe(augmentation=augmentation))["aa"]
    make = rand_augment_transform if policy.startswith("rand") else auto_augment_transform
    transform = make(policy, {"img_mean": (128, 128, 128)})
    assert transform(Image.new("RGB", (32, 32))).size == (32, 32)
    if augmentation == "randaugment":
        assert transform.num_layers == 2
        assert {(op.prob, op.magnitude) for op in transform.ops} == {(1.0, 3)}
    if augmentation == "trivialaugment":
        assert transform.num_layers == 1
        assert {(op.prob, op.magnitude, op.magnitude_std) for op in transform.ops} == {
            (1.0, 10, float("inf"))
        }


@pytest.fixture(scope="module")
def name(emitted):
    """Import the emitted module, and return the name that it registers."""
    path = emitted.emission.directory / "timm_model.py"
    spec = importlib.util.spec_from_file_location("timm_model", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["timm_model"] = module
    try:
        spec.loader.exec_module(module)
        yield yaml.safe_load((path.parent / "timm_args.yaml").read_text())["model"]
    finally:
        del sys.modules["timm_model"]


def output(network, emitted):
    images, _ = emitted.batches[0]
    with torch.no_grad():
        return network.eval()(images)


def test_timm_creates_the_emitted_network(emitted, name):
    network = timm.create_model(name, num_classes=10, in_chans=1, drop_rate=0.2, drop_path_rate=0.1)
    assert not torch.equal(output(network, emitted), output(emitted.network, emitted))
    network.load_state_dict(emitted.network.state_dict())
    assert torch.equal(output(network, emitted), output(emitted.network, emitted))
    assert network.head.dropout.p == 0.2
    assert max(m.p for m in network.modules() if type(m).__name__ == "StochasticDepth") == pytest.approx(
        0.075
    )


def test_pretrained_network_has_the_trained_weights(emitted, name):
    network = timm.create_model(name, pretrained=True, in_chans=1, num_classes=10)
    assert torch.equal(output(network, emitted), output(emitted.network, emitted))
    assert timm.is_model_pretrained(name)
    config = timm.data.resolve_model_data_config(network)
    assert config["input_size"] == (1, 32, 32)
    assert config["mean"] == pytest.approx(emitted.facts.mean)
    assert (config["interpolation"], network.pretrained_cfg["classifier"]) == ("bilinear", "head.classifier")


def test_pretrained_network_for_other_classes_keeps_its_features(emitted, name):
    network = timm.create_model(name, pretrained=True, in_chans=1, num_classes=4)
    assert network.num_classes == network.get_classifier().out_features == 4
    trained = emitted.network.state_dict()
    for key, tensor in network.state_dict().items():
        assert key.startswith("head.classifier.") or torch.equal(tensor, trained[key]), key


def test_pretrained_network_takes_color(emitted, name):
    """Gray images in three equal channels give the same logits."""
    network = timm.create_model(name, pretrained=True, in_chans=3, num_classes=10)
    images, _ = emitted.batches[0]
    with torch.no_grad():
        found = network.eval()(images.expand(-1, 3, -1, -1))
    torch.testing.assert_close(found, output(emitted.network, emitted), rtol=1e-3, atol=1e-4)


def test_network_without_a_classifier_gives_its_features(emitted, name):
    network = timm.create_model(name, pretrained=True, in_chans=1, num_classes=0)
    features = output(network, emitted)
    assert features.shape == (len(emitted.batches[0][0]), network.num_features)
    trained = emitted.network.eval()
    with torch.no_grad():
        assert torch.equal(trained.head.classifier(features), output(trained, emitted))
        maps = network.forward_features(emitted.batches[0][0])
        assert torch.equal(network.forward_head(maps), features)
        assert torch.equal(network.forward_head(maps, pre_logits=True), features)
    network.reset_classifier(7)
    assert output(network, emitted).shape[1] == 7


def test_features_only_gives_the_maps(emitted, name):
    network = timm.create_model(name, pretrained=True, in_chans=1, features_only=True)
    expected = create(emitted.network.definition, in_chans=1, features_only=True)
    expected.load_state_dict(emitted.network.state_dict(), strict=False)
    found = output(network, emitted)
    assert network.feature_info.channels() == [info.channels for info in expected.feature_info]
    assert network.feature_info.reduction() == [info.stride for info in expected.feature_info]
    for one, other in zip(found, output(expected, emitted), strict=True):
        torch.testing.assert_close(one, other)
    last = timm.create_model(name, in_chans=1, features_only=True, out_indices=(-1,))
    assert len(output(last, emitted)) == 1


def test_unknown_options_and_changed_weights_are_refused(emitted, name, tmp_path):
    with pytest.raises(TypeError, match="swish"):
        timm.create_model(name, swish=True)
    with pytest.raises(UserError, match="global_pool is 'max'"):
        timm.create_model(name, global_pool="max")
    folder = shutil.copytree(emitted.emission.directory, tmp_path / "copy")
    weights = bytearray((folder / "weights.safetensors").read_bytes())
    weights[-3] ^= 1
    (folder / "weights.safetensors").write_bytes(weights)
    with pytest.raises(UserError, match=r"weights.safetensors is not the file that was emitted"):
        timm_network(folder, name, True, {"in_chans": 1})
