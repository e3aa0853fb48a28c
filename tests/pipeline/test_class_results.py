"""Counts by class, against scikit-learn's."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, precision_score

from narsfast.data import dataset_from, load_data
from narsfast.pipeline._class_results import EXAMPLES, PAIRS, SIDE, class_results, store_class_results
from narsfast.runs import RunStore

CLASSES = 12


def split_of(labels, side=8):
    """Return a test split of gray images, each of its own level."""
    images = [np.full((side, 2 * side), index % 256, np.uint8) for index in range(len(labels))]
    own = [(images[0], label) for label in range(CLASSES)]
    data = dataset_from(own, own, list(zip(images, labels, strict=True)), mirror=False)
    return data.test, data.classes


@pytest.fixture(scope="module")
def unbalanced():
    """Labels of 200 images, and answers of which a third is wrong; class 3 has no image, class 4 no answer."""
    random = np.random.default_rng(1)
    labels = random.choice(CLASSES, 200, p=np.array([9, 5, 3, 0, 2, 1, 1, 1, 1, 1, 1, 1]) / 26)
    answers = np.where(random.random(200) < 1 / 3, random.integers(0, CLASSES, 200), labels)
    answers[answers == 4] = 0
    logits = torch.tensor(random.normal(0, 0.1, (200, CLASSES)), dtype=torch.float32)
    logits[torch.arange(200), torch.from_numpy(answers)] += torch.tensor(random.uniform(1, 5, 200)).float()
    return labels, answers, logits


def test_counts_are_those_of_scikit_learn(unbalanced):
    labels, answers, logits = unbalanced
    found = class_results(logits, *split_of(labels.tolist()))
    matrix = confusion_matrix(labels, answers, labels=range(CLASSES))
    assert found.matrix() == matrix.tolist()
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert found.balanced_accuracy == pytest.approx(100 * balanced_accuracy_score(labels, answers))
    assert sum(own.correct for own in found.classes) / 2 == 100 * accuracy_score(labels, answers)
    precision = precision_score(labels, answers, labels=range(CLASSES), average=None, zero_division=0)
    assert [own.precision or 0 for own in found.classes] == pytest.approx(100 * precision)
    assert (found.classes[3].images, found.classes[3].accuracy) == (0, None)
    assert (found.classes[4].answered, found.classes[4].precision) == (0, None)
    sizes = [pair.images for pair in found.confusions]
    assert sizes == sorted(sizes, reverse=True)


def test_images_are_the_most_confident_wrong_answers_of_the_most_frequent_confusions(unbalanced):
    labels, answers, logits = unbalanced
    found = class_results(logits, *split_of(labels.tolist()))
    assert [bool(pair.examples) for pair in found.confusions] == [
        place < PAIRS for place in range(len(found.confusions))
    ]
    confidence = 100 * logits.softmax(1).max(1).values.numpy()
    for pair in found.confusions[:PAIRS]:
        wanted = np.flatnonzero((labels == pair.label) & (answers == pair.answer))
        assert len(wanted) == pair.images
        wanted = wanted[np.argsort(-confidence[wanted])][:EXAMPLES]
        assert [image.index for image in pair.examples] == wanted.tolist()
        assert [image.confidence for image in pair.examples] == pytest.approx(confidence[wanted], abs=0.01)
        for image in pair.examples:
            photo = Image.open(io.BytesIO(base64.b64decode(image.thumbnail)))
            assert (photo.mode, photo.size) == ("L", (16, 8))
            assert np.abs(np.asarray(photo, int) - image.index).max() <= 2
    without = class_results(logits, *split_of(labels.tolist()), examples=False)
    assert without.matrix() == found.matrix()
    assert not any(pair.examples for pair in without.confusions)


def test_large_photos_in_color_become_thumbnails():
    photos = [(np.full((300, 450, 3), 200, np.uint8), label) for label in (0, 1)]
    data = dataset_from(photos, photos, photos)
    found = class_results(torch.eye(2)[[0, 0]], data.test, data.classes, files=["a/1.jpg", "b/2.jpg"])
    (image,) = found.confusions[0].examples
    assert image.file == "b/2.jpg"
    assert image.uri.startswith("data:image/jpeg;base64,")
    assert Image.open(io.BytesIO(base64.b64decode(image.thumbnail))).size == (SIDE, 64)


@pytest.mark.parametrize("splits", [True, False])
def test_files_of_images_are_those_that_were_read(tmp_path, splits):
    """Whether the test split has a folder or is drawn."""
    level = {}
    for split in ("train", "val", "test") if splits else ("",):
        for label in ("a", "b"):
            (tmp_path / split / label).mkdir(parents=True)
            for index in range(3 if splits else 12):
                file = tmp_path / split / label / f"{index}.png"
                Image.new("L", (8, 8), len(level) * 5).save(file)
                level[str(file.relative_to(tmp_path))] = len(level) * 5
    data = load_data(tmp_path, 8)
    found = data.files(data.test)
    images = data.test.images.read(np.arange(len(data.test)))
    assert [level[name] for name in found] == [np.asarray(image)[0, 0, 0] for image in images]
    assert (
        dataset_from([(images[0], 0), (images[0], 1)], [(images[0], 0)], [(images[0], 1)]).files(data.test)
        == []
    )


def test_a_network_without_mistakes_has_no_confusions():
    split, classes = split_of([0, 5, 5, 11])
    found = class_results(torch.eye(CLASSES)[split.labels], split, classes)
    assert found.confusions == ()
    assert found.balanced_accuracy == 100


def test_results_of_networks_are_kept_beside_each_other(tmp_path):
    split, classes = split_of([0, 5])
    right, wrong = (
        class_results(torch.eye(CLASSES)[answers], split, classes) for answers in ([0, 5], [5, 0])
    )
    with RunStore.open(tmp_path / "run", {"seed": 1}) as run:
        store_class_results(run, "a", wrong)
        store_class_results(run, "b", wrong)
        store_class_results(run, "a", right)  # as after a crash between the test and its row of the table
        assert run.facts.class_results == {"a": right, "b": wrong}
