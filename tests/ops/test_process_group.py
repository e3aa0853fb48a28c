"""Batch norms that share statistics: two processes with parts of a batch against one process with the whole batch."""

import pytest
import torch

from .member import JOBS, SPLITS

MEMBERS = 2
SECONDS = 50


@pytest.fixture(scope="module")
def found(tmp_path_factory, run_ranks):
    """Return what each member found, by its rank."""
    folder = tmp_path_factory.mktemp("group")
    run_ranks("ops.member", folder, MEMBERS, SECONDS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(MEMBERS)]


@pytest.fixture(scope="module")
def whole():
    """Return what one process finds with the whole batch."""
    return {name: job(slice(None), None) for name, job in JOBS.items()}


def joined(name, parts):
    """Join the members' values as one process has them: maps are concatenated, the rest is summed or equal."""
    if name.startswith("out"):
        return torch.cat(parts)
    if name.startswith(("statistics", "buffer")):
        assert all(torch.equal(part, parts[0]) for part in parts), name
        return parts[0]
    return sum(parts)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("job", JOBS)
def test_members_together_equal_one_process(job, split, found, whole):
    parts = [member[job, split] for member in found]
    assert all(part.keys() == whole[job].keys() for part in parts)
    for name, value in whole[job].items():
        together = joined(name, [part[name] for part in parts])
        torch.testing.assert_close(
            together, value, rtol=1e-8, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_one_value_per_channel_in_the_group_raises_in_every_member(found):
    for member in found:
        assert "Expected more than 1 value per channel" in member["one value"]


def test_group_without_images_has_no_statistics_and_zero_gradients(found):
    for member in found:
        assert not any(name.startswith("statistics") for name in member["no images"])
        assert not any(value.count_nonzero() for value in member["no images"].values())
