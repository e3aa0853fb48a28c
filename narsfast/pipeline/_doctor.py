"""What this installation has, whether it works, and what would make it faster or more complete.

Nothing heavy is imported to look: extras are found by their files and their metadata alone.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from narsfast import __version__
from narsfast.common.threads import usable_cores

_DALI = ("nvidia-dali-cuda130", "nvidia-dali-cuda120")
"""The distributions of DALI, for CUDA 13 and 12; both also run without a GPU."""

_GAINS = {
    "dali": "JPEG folders load faster",
    "onnx": "networks are also written as ONNX, and that file is checked",
    "timm": "timm's networks can be trained, and the arguments for its training script are checked",
}
"""What each extra of pyproject.toml adds, for those who lack it."""


def examine() -> dict[str, Any]:
    """Look at what is there.

    Returns:
        Plain JSON types by name. A package that is missing has None; `apex` is one of None, ``NVIDIA``, ``without
        extensions`` and ``namesake`` (the unrelated project of PyPI); `gpus` has `name`, `capability` and `driver` of
        each, as nvidia-smi says.

    Raises:
        ImportError, OSError: torch or the compiled module cannot be loaded.
        ValueError: NARSFAST_ISA names an instruction set that cannot run here.
    """
    import torch

    from narsfast import _native
    from narsfast.training import apex_kind

    return {
        "version": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "isa": _native.isa(),
        "isas": _native.isas(),
        "threads": torch.get_num_threads(),
        "cores": usable_cores(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "openmp": _openmp_runtimes(),
        "torch": str(torch.__version__),
        "torch_cuda": torch.version.cuda,
        "torchvision": _version("torchvision"),
        "cuda_built": _native.cuda_built(),
        "cuda_architectures": [name for name in _native.cuda_architectures().split(",") if name],
        "cuda_usable": _native.has_cuda(),
        "gpus": _gpus(),
        "dali": next(filter(None, map(_version, _DALI)), None),
        "loaders": ["torchvision", *(["dali"] if any(map(_version, _DALI)) else [])],
        "timm": _version("timm"),
        "onnx": _version("onnxscript") and _version("onnxruntime") and _version("onnx"),
        "ray": _version("ray"),
        "apex": apex_kind(),
    }


def advice(facts: dict[str, Any]) -> list[str]:
    """Say what would be faster or more complete, one sentence each; `facts` as `examine` returns them."""
    found = [f"install narsfast[{extra}]: {gain}" for extra, gain in _GAINS.items() if facts[extra] is None]
    if facts["isa"] != facts["isas"][-1]:
        found.append(
            f"unset NARSFAST_ISA: it holds the kernels to {facts['isa']}, this machine runs {facts['isas'][-1]}"
        )
    if facts["omp_num_threads"] and facts["threads"] < facts["cores"]:
        found.append(
            f"unset OMP_NUM_THREADS: it holds whatever runs alone to {facts['threads']} of {facts['cores']} cores"
        )
    if len(facts["openmp"]) > 1:
        found.append(
            f"two OpenMP runtimes are loaded, which disturb each other: {', '.join(facts['openmp'])}"
        )
    if facts["apex"] == "without extensions":
        found.append(
            "build apex again with APEX_CPP_EXT=1 APEX_CUDA_EXT=1: without its extensions it is not used"
        )
    if facts["apex"] == "namesake":
        found.append("uninstall apex: it is another project of that name; NVIDIA's is built from its source")
    if facts["gpus"]:
        found += _gpu_advice(facts)
    return found


def _gpu_advice(facts: dict[str, Any]) -> list[str]:
    found = []
    if facts["apex"] is None:
        found.append("build NVIDIA's apex (docker/build-steps.sh): its fused SGD, Adam and LAMB")
    if facts["torch_cuda"] is None:
        found.append("install a torch with CUDA: this one cannot use the GPU")
    if not facts["cuda_built"]:
        found.append(
            "install narsfast with -C cmake.define.NARSFAST_CUDA=ON: its kernels then take tensors on the GPU"
        )
        return found
    for capability in sorted({gpu["capability"] for gpu in facts["gpus"]}):
        if not _covered(capability, facts["cuda_architectures"]):
            found.append(
                f"install narsfast again with -C cmake.define.NARSFAST_CUDA=ON: it has no kernels for a GPU of compute "
                f"capability {capability}"
            )
    return found


def _covered(capability: str, architectures: list[str]) -> bool:
    """Whether kernels for `architectures` ("80-real", "90a", "120") run on a GPU of this capability ("8.6").

    Machine code runs on its own major version from its minor version on; PTX on every later GPU too; a name without a
    suffix has both. With a letter it is for that one device. Names without a number, as "native", are taken to fit.
    """
    wanted = tuple(int(part) for part in capability.split("."))
    for name in architectures:
        number, _, kind = name.partition("-")
        digits = number.rstrip("abcdefghijklmnopqrstuvwxyz")
        if not digits:
            return True
        own = divmod(int(digits), 10)
        if own == wanted and (digits != number or kind != "virtual"):
            return True
        later = own <= wanted and (kind != "real" or own[0] == wanted[0])
        if later and digits == number:
            return True
    return False


def self_check() -> None:
    """Run one fused block beside its plain twin, and one native search beside its numpy twin.

    Raises:
        RuntimeError: Their results differ; one sentence.
    """
    _check_block()
    _check_search()


def _check_block() -> None:
    import torch

    from narsfast.ops import DepthwiseSE, plain_ops

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        block = DepthwiseSE(24, 5, stride=2, squeezed=8).eval()
        images = torch.randn(2, 24, 9, 9).contiguous(memory_format=torch.channels_last)
        fused = block(images)
        with plain_ops(block):
            plain = block(images)
    if not torch.allclose(fused, plain, rtol=1e-4, atol=1e-5):
        raise RuntimeError(
            f"the fused block differs from torch's modules by up to {(fused - plain).abs().max():.1e}"
        )


def _check_search() -> None:
    import numpy as np

    from narsfast.cost import Budget, Counter
    from narsfast.search import Pool, evolve
    from narsfast.space import load_space

    counter = Counter(load_space("tiny"), in_chans=1, num_classes=10)
    genes = np.unique(counter.space.random(60, 0), axis=0)
    pool = Pool(genes, counter(genes))
    budget = Budget({"macs": (0.0, float(np.median(pool.statistics[:, counter.names.index("macs")])))})
    worth = np.arange(1.0, genes.shape[1] + 1)
    (found,) = evolve(
        lambda genes: (genes @ worth).astype(np.float64), counter, [budget], pool, genes[:4], 0, generations=3
    )
    inside = pool.genes[budget.within(pool.statistics, counter.names)]
    best = (inside @ worth).max()
    right = np.array_equal(found.scores, found.genes @ worth) and found.scores[0] >= best
    kept = budget.within(counter(found.genes), counter.names).all()
    if not (right and kept):
        raise RuntimeError(
            "the native search finds candidates that are worse than what it was given, or outside a budget"
        )


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _gpus() -> list[dict[str, str]]:
    """NVIDIA's devices as the driver's own program names them; without the program or a driver, none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    columns = "name,compute_cap,driver_version"
    try:
        asked = subprocess.run(
            [program, f"--query-gpu={columns}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in asked.stdout.splitlines() if line.strip()]
    return [dict(zip(("name", "capability", "driver"), row, strict=True)) for row in rows]


def _openmp_runtimes() -> list[str]:
    """Files of the OpenMP runtimes that this process has loaded, where the system tells (Linux)."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    files = {line.split(maxsplit=5)[5] for line in lines if "/" in line}
    return sorted(file for file in files if Path(file).name.startswith(("libgomp", "libiomp", "libomp")))
