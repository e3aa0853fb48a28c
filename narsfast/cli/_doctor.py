"""The command `narsfast doctor`."""

from __future__ import annotations

import json
from typing import Any

import typer

from narsfast.errors import UserError

from ._options import Json
from ._tables import print_table


def doctor(as_json: Json = False) -> None:
    """Show what this installation has, whether it works, and what would make it faster.

    Runs one fused block and one native search beside their plain twins; the exit code is 1 where that fails.
    """
    from narsfast.pipeline._doctor import advice, examine, self_check

    try:
        facts = examine()
        self_check()
    except ValueError as error:
        raise UserError(str(error)) from None
    except (ImportError, OSError, RuntimeError) as error:
        raise UserError(f"this installation does not work: {error}; install narsfast again") from None
    advised = advice(facts)
    if as_json:
        typer.echo(json.dumps(facts | {"works": True, "advice": advised}))
        return
    print_table("narsfast works here", [{"what": name, "found": found} for name, found in _rows(facts)])
    for sentence in advised:
        typer.echo(f"- {sentence}")


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the facts in the words of a table."""
    kernels = ", ".join(facts["cuda_architectures"]) if facts["cuda_built"] else "not built"
    gpus = ", ".join(f"{gpu['name']} ({gpu['capability']}, driver {gpu['driver']})" for gpu in facts["gpus"])
    return [
        ("narsfast", facts["version"]),
        ("Python", f"{facts['python']} on {facts['machine']}"),
        ("instruction set", f"{facts['isa']} of {', '.join(facts['isas'])}"),
        ("threads", f"{facts['threads']} on {facts['cores']} cores"),
        ("torch, torchvision", f"{facts['torch']}, {facts['torchvision']}"),
        ("CUDA of torch", _shown(facts["torch_cuda"])),
        ("CUDA kernels", kernels),
        ("GPUs", gpus or "none seen"),
        ("loaders", ", ".join(facts["loaders"])),
        ("apex", {None: "-", "NVIDIA": "NVIDIA's"}.get(facts["apex"], "another project of that name")),
        *((name, _shown(facts[name])) for name in ("dali", "timm", "onnx", "ray")),
    ]


def _shown(value: str | None) -> str:
    return "-" if value is None else value
