"""One member of a process group, as test_process_group starts it: the jobs that are compared, and what runs them."""

import datetime

import torch
from torch import distributed, nn

import narsfast
from narsfast.ops import DepthwiseSE, NormArgs, norm_act

from .conftest import ACTIVATIONS, Case

SPLITS = {"halves": (4, 4), "unequal": (5, 3), "one without images": (8, 0)}
CASES = {
    "plain": Case(n=8, kernel=3),
    "excite": Case(n=8, kernel=5, stride=2, padding=2, squeezed=6, act="relu"),
    "before": Case(n=8, kernel=5, padding=2, before=True, offset=3.0),
    "before and excite": Case(n=8, c=37, kernel=3, stride=2, squeezed=5, before=True),
}


def functional(case, images, group):
    """Return output, statistics and gradients of the block for some of a case's images."""
    leaves = {name: leaf.requires_grad_() for name, leaf in case.leaves().items()}
    out, *statistics = case.with_statistics({**leaves, "x": leaves["x"][images]}, group)
    d_out = torch.randn((case.n, *out.shape[1:]), generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    found = torch.autograd.grad(out, list(leaves.values()), d_out[images])
    used = {f"statistics {index}": torch.stack(pair) for index, pair in enumerate(statistics) if pair}
    return {"out": out.detach(), **used, **dict(zip(leaves, found, strict=True))}


def norm(act, images, group):
    """Return the same of a norm alone."""
    case = Case(n=8)
    leaves = {name: leaf.requires_grad_() for name, leaf in case.leaves().items() if name != "kernel"}
    y = leaves["x"].contiguous(memory_format=torch.channels_last)[images]
    out, statistics = norm_act(y, NormArgs(leaves["weight"], leaves["bias"], None, None, 1e-5, act, group))
    d_out = torch.randn(case.leaves()["x"].shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    found = torch.autograd.grad(out, list(leaves.values()), d_out[images])
    return {
        "out": out.detach(),
        "statistics": torch.stack(statistics),
        **dict(zip(leaves, found, strict=True)),
    }


def train(module, shape, images, group):
    """Two training steps, then an evaluation: outputs, gradients of the last step, buffers.

    Batch norms of a group are torch's nn.SyncBatchNorm.
    """
    if group is not None:
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module, group)
    draw = torch.Generator().manual_seed(2)

    def normal(*sizes):
        return torch.randn(sizes, generator=draw, dtype=torch.float64)

    for _ in range(2):
        module.zero_grad()
        x = normal(*shape).contiguous(memory_format=torch.channels_last).requires_grad_()
        out = module(x[images])
        # A sum over the images, so that gradients add up over members.
        (out * normal(shape[0], *out.shape[1:])[images]).sum().backward()
    found = {"out": out.detach(), "x": x.grad, **{name: p.grad for name, p in module.named_parameters()}}
    with torch.no_grad():
        found["out in evaluation"] = module.eval()(x[images])
    return found | {f"buffer {name}": buffer for name, buffer in module.named_buffers()}


def block(images, group):
    torch.manual_seed(0)
    module = DepthwiseSE(16, 5, 2, 2, squeezed=8).double()
    return train(module, (8, 16, 9, 7), images, group)


def stages(images, group):
    torch.manual_seed(0)
    whole = narsfast.create_model("FBNetV3_A0", num_classes=3).double()
    return train(nn.Sequential(whole.stem, *whole.stages[:2]), (8, 3, 32, 32), images, group)


JOBS = {
    **{f"block, {name}": lambda *share, case=case: functional(case, *share) for name, case in CASES.items()},
    **{f"norm, {act}": lambda *share, act=act: norm(act, *share) for act in ACTIVATIONS},
    "module": block,
    "stages": stages,
}
"""By name: a function of a slice of the images and a process group, giving tensors by name."""


def one_value_a_channel(group):
    """Return the error where the whole group has one value per channel, which is the first member's."""
    case = Case(n=1, h=1, w=1)
    leaves = case.leaves()
    leaves["x"] = leaves["x"][: 1 - group.rank()]
    try:
        case.with_statistics(leaves, group)
    except ValueError as error:
        return str(error)
    return ""


def main(rank, members, folder):
    """Run every job with this member's images; save what it found in the folder by job and split."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=(folder / "meeting").as_uri(),
        rank=rank,
        world_size=members,
        timeout=datetime.timedelta(seconds=20),
    )
    group = distributed.group.WORLD
    nothing = functional(CASES["before and excite"], slice(0), group)
    found = {"one value": one_value_a_channel(group), "no images": nothing}
    for split, sizes in SPLITS.items():
        images = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        for name, job in JOBS.items():
            found[name, split] = job(images, group)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()
