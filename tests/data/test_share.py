import numpy as np
import pytest
import torch

from narsfast.data import batch_share, batches, load_data, mixed, split_share


@pytest.mark.parametrize(("count", "ranks"), [(8, 2), (9, 2), (11, 3), (6, 3), (13, 1)])
def test_parts_are_the_batch_and_keep_pairs(count, ranks):
    batch = np.random.default_rng(0).permutation(count)
    parts = [batch_share(batch, (rank, ranks)) for rank in range(ranks)]
    assert sorted(np.concatenate(parts)) == list(range(count))
    partner = dict(zip(batch, batch[::-1], strict=True))
    for part in parts:
        assert len(part) >= 2
        assert [partner[image] for image in part] == list(part[::-1])
    assert max(map(len, parts)) - min(map(len, parts)) <= 3


@pytest.mark.parametrize(("count", "ranks"), [(8, 2), (9, 2), (1, 3)])
def test_parts_of_an_evaluation_are_consecutive(count, ranks):
    parts = [split_share(count, (rank, ranks)) for rank in range(ranks)]
    assert np.concatenate(parts).tolist() == list(range(count))


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.3, 0.0), (0.0, 1.0)])
def test_mixing_a_part_equals_mixing_the_batch(mixup, cutmix):
    split = load_data("digits").train
    options = {"seed": 3, "epoch": 1, "training": True}
    whole = next(iter(batches(split, 16, 10, **options)))
    parts = [next(iter(batches(split, 16, 10, share=(rank, 2), **options))) for rank in range(2)]

    def rows(images, labels):
        targets = torch.nn.functional.one_hot(labels, 10).float()
        images, targets = mixed(images, targets, mixup=mixup, cutmix=cutmix, seed=3, step=7)
        return {
            (*image.flatten().tolist(), *row.tolist()) for image, row in zip(images, targets, strict=True)
        }

    assert rows(*parts[0]) | rows(*parts[1]) == rows(*whole)


def test_evaluation_reads_each_image_once():
    split = load_data("digits").val
    labels = [torch.cat([y for _, y in batches(split, 16, 50, share=(rank, 2))]) for rank in range(2)]
    assert torch.cat(labels).tolist() == split.labels.tolist()
