import numpy as np
import pytest
import torch

from narsfast.data import mixed


def mix(images, targets, *, mixup=0.0, cutmix=0.0, seed=1, step=5):
    return mixed(images, targets, mixup=mixup, cutmix=cutmix, seed=seed, step=step)


def pairs(side=16):
    """Images whose pixels are their own number, and targets that tell it."""
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 2, side, side).contiguous()
    return images, torch.eye(6)


def test_mixup_blends_images_and_targets_alike():
    images, targets = pairs(1)
    x, t = mix(images, targets, mixup=0.4)
    share = float(t[0, 0])
    assert 0 < share < 1
    torch.testing.assert_close(t.sum(dim=1), torch.ones(6))
    torch.testing.assert_close(x, share * images + (1 - share) * images.flip(0))
    torch.testing.assert_close(t, share * targets + (1 - share) * targets.flip(0))


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_pastes_one_rectangle_and_shares_the_target_by_area(seed):
    images, targets = pairs()
    given = images.clone()
    x, t = mix(images, targets, cutmix=1.0, seed=seed)
    assert images.equal(given)
    pasted = x[0, 0] != 0
    assert ((x == images) | (x == images.flip(0))).all()
    assert all((x[i, 1] != i).equal(pasted) for i in range(6))
    rows, columns = pasted.any(dim=1).nonzero(), pasted.any(dim=0).nonzero()
    assert pasted.sum() == len(rows) * len(columns)  # a rectangle
    share = 1 - float(pasted.float().mean())
    torch.testing.assert_close(t, share * targets + (1 - share) * targets.flip(0))


def test_cutmix_keeps_the_layout_of_images():
    images = torch.rand(4, 3, 8, 8).to(memory_format=torch.channels_last)
    x, _ = mix(images, torch.eye(4), cutmix=1.0)
    assert x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_mixing_is_keyed_by_seed_and_step(options):
    images, targets = torch.rand(4, 3, 32, 32), torch.eye(4)
    same = [mix(images, targets, **options)[1] for _ in range(2)]
    assert same[0].equal(same[1])
    assert not mix(images, targets, step=6, **options)[1].equal(same[0])
    assert not mix(images, targets, seed=2, **options)[1].equal(same[0])


def test_images_are_unchanged_where_both_are_off():
    images, targets = pairs()
    x, t = mix(images, targets)
    assert x is images
    assert t is targets


def test_each_batch_gets_one_of_both_where_both_are_on():
    images, targets = pairs()
    chosen = []
    for step in range(400):
        x, t = mix(images, targets, mixup=0.8, cutmix=1.0, step=step)
        alone = {
            name: mix(images, targets, step=step, **{name: alpha})
            for name, alpha in (("mixup", 0.8), ("cutmix", 1.0))
        }
        same = [name for name, (xs, ts) in alone.items() if x.equal(xs) and t.equal(ts)]
        assert len(same) == 1
        chosen += same
    assert abs(chosen.count("cutmix") / 400 - 0.5) < 0.08


def test_mixup_share_follows_beta():
    shares = np.array(
        [float(mix(torch.zeros(2, 1, 1, 1), torch.eye(2), mixup=0.3, step=s)[1][0, 0]) for s in range(2000)]
    )
    assert abs(shares.mean() - 0.5) < 0.03
    assert abs(shares.var() - 1 / (4 * (2 * 0.3 + 1))) < 0.01  # variance of Beta(a, a)


def test_cutmix_pastes_at_most_what_beta_says():
    """Beta(1, 1) is uniform; the part of a rectangle that lies outside makes it smaller."""
    images, targets = pairs(64)
    pasted = np.array(
        [1 - float(mix(images, targets, cutmix=1.0, step=step)[1][0, 0]) for step in range(600)]
    )
    assert pasted.min() < 0.02
    assert pasted.max() <= 1
    assert 0.25 < pasted.mean() < 0.45
