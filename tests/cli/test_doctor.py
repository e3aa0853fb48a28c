"""What the doctor sees, what it advises, and that it fails where the package does not work."""

import importlib.metadata
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from narsfast import _native, ops, search
from narsfast.pipeline import _doctor as doctor

ROOT = Path(__file__).parents[2]
GPU = {"name": "A GPU", "capability": "8.6", "driver": "580.1"}


@pytest.fixture
def facts():
    """Return what is found of an installation that lacks nothing."""
    return {
        "isa": "avx2",
        "isas": ["baseline", "avx2"],
        "threads": 8,
        "cores": 8,
        "omp_num_threads": None,
        "openmp": ["/a/libgomp.so.1"],
        "torch_cuda": "13.0",
        "cuda_built": True,
        "cuda_architectures": ["80-real", "120"],
        "gpus": [GPU],
        "dali": "2.4",
        "timm": "1.0",
        "onnx": "1.2",
        "apex": "NVIDIA",
    }


def test_a_working_installation(run_narsfast, monkeypatch):
    monkeypatch.setenv("NARSFAST_ISA", "baseline")
    code, out, _ = run_narsfast("doctor", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["works"]
    assert facts["isa"] == "baseline"
    assert facts["isas"] == _native.isas()
    assert facts["torch"] == torch.__version__
    assert facts["threads"] == torch.get_num_threads()
    assert facts["cuda_built"] == bool(facts["cuda_architectures"]) == _native.cuda_built()
    assert any("NARSFAST_ISA" in line for line in facts["advice"]) == (len(_native.isas()) > 1)
    code, out, _ = run_narsfast("doctor")
    assert code == 0
    assert str(torch.__version__) in out
    for sentence in facts["advice"]:
        assert f"- {sentence}\n" in out


@pytest.mark.exports  # older versions load ONNX by themselves
def test_it_looks_at_extras_without_loading_them(tmp_path):
    """In a process of its own: pytest and other tests load some of them here."""
    code = (
        "import sys; from narsfast.pipeline import _doctor as doctor;"
        "doctor.advice(doctor.examine()); doctor.self_check();"
        "print(*{'onnx', 'onnxruntime', 'onnxscript', 'timm', 'ray', 'apex', 'nvidia.dali'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("patched", "said"),
    [
        (lambda patch: patch.setitem(sys.modules, "narsfast._native", None), "_native"),
        (lambda patch: patch.setattr(ops.DepthwiseSE, "runs_fused", wrong_block), "fused block differs"),
        (lambda patch: patch.setattr(search, "evolve", wrong_search), "finds candidates that are worse"),
    ],
    ids=["no compiled module", "block", "search"],
)
def test_what_does_not_work_ends_with_one_sentence(run_narsfast, monkeypatch, patched, said):
    monkeypatch.delattr("narsfast._native", raising=False)
    patched(monkeypatch)
    code, out, err = run_narsfast("doctor", "--json")
    assert code == 1
    assert out == ""
    assert said in err
    assert err.startswith("narsfast: this installation does not work: ")
    assert err.count("\n") == 1


def wrong_block(block, x, *_):
    """Take the place of `runs_fused`: another kernel after the first call."""
    if block.ops == "torch":
        block.conv.weight.data.mul_(-1)
    return False


def wrong_search(score, *arguments, **options):
    """Take the place of `evolve`: look for the worst."""
    from narsfast.search._evolve import evolve

    return evolve(lambda genes: -score(genes), *arguments, **options)


def test_an_unknown_instruction_set(run_narsfast, monkeypatch):
    monkeypatch.setenv("NARSFAST_ISA", "mmx")
    code, _, err = run_narsfast("doctor")
    assert code == 1
    assert err.startswith("narsfast: NARSFAST_ISA=mmx cannot run here")


def test_nothing_is_advised_where_nothing_is_missing(facts):
    assert doctor.advice(facts) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dali": None}, "install narsfast[dali]: JPEG folders load faster"),
        ({"isa": "baseline"}, "unset NARSFAST_ISA"),
        ({"omp_num_threads": "2", "threads": 2}, "2 of 8 cores"),
        ({"openmp": ["/a/libgomp.so.1", "/b/libgomp-x.so.1"]}, "two OpenMP runtimes"),
        ({"apex": "namesake"}, "uninstall apex"),
        ({"apex": "without extensions"}, "build apex again with APEX_CPP_EXT=1"),
        ({"torch_cuda": None}, "torch with CUDA"),
        ({"cuda_built": False, "cuda_architectures": []}, "NARSFAST_CUDA=ON"),
        ({"cuda_architectures": ["90-real"]}, "capability 8.6"),
    ],
)
def test_advice(facts, changed, said):
    (sentence,) = doctor.advice(facts | changed)
    assert said in sentence


def test_without_a_gpu_none_is_asked_for(facts):
    facts |= {"gpus": [], "torch_cuda": None, "cuda_built": False, "cuda_architectures": []}
    assert doctor.advice(facts) == []


def test_extras_that_are_advised_exist():
    text = (ROOT / "pyproject.toml").read_text()
    for extra in doctor._GAINS:
        assert re.search(rf"^{extra} = \[", text, re.M), extra


@pytest.mark.parametrize(
    ("capability", "architectures", "covered"),
    [
        ("8.6", ["80-real"], True),
        ("8.0", ["86-real"], False),
        ("9.0", ["80-real"], False),
        ("9.0", ["80"], True),
        ("9.0", ["80-virtual"], True),
        ("12.1", ["100-real", "120"], True),
        ("7.5", ["120"], False),
        ("9.0", ["90a-real"], True),
        ("9.1", ["90a-real"], False),
        ("10.0", ["90a"], False),
        ("8.6", ["native"], True),
        ("9.0", [], False),
    ],
)
def test_which_gpus_kernels_run_on(capability, architectures, covered):
    assert doctor._covered(capability, architectures) == covered


def test_gpus_are_read_from_the_drivers_program(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda _: "nvidia-smi")
    answer = types.SimpleNamespace(stdout="A GPU, 8.6, 580.1\n")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: answer)
    assert doctor._gpus() == [GPU]

    def fails(*_, **__):
        raise subprocess.CalledProcessError(9, "nvidia-smi")

    monkeypatch.setattr(doctor.subprocess, "run", fails)
    assert doctor._gpus() == []


def test_loaders_follow_what_is_installed(monkeypatch):
    def version(name):
        if name == "nvidia-dali-cuda120":
            return "2.4"
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    facts = doctor.examine()
    assert facts["dali"] == "2.4"
    assert facts["loaders"] == ["torchvision", "dali"]
    assert facts["onnx"] is None
