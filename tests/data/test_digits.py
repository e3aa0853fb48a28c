import numpy as np

from narsfast.data import load_data


def test_digits_are_complete_and_split_three_ways():
    digits = load_data("digits")
    sizes = [len(split) for split in (digits.train, digits.val, digits.test)]
    assert sum(sizes) == 1797
    assert sizes == [1079, 359, 359]
    assert digits.classes == tuple("0123456789")
    assert (digits.in_chans, digits.mirror) == (1, False)
    for split in (digits.train, digits.val, digits.test):
        assert (split.images.sizes == 32).all()
        counts = np.bincount(split.labels, minlength=10) / len(split)
        assert (abs(counts - 0.1) < 0.01).all()


def test_no_image_is_in_two_splits():
    digits = load_data("digits")
    hashes = []
    for split in (digits.train, digits.val, digits.test):
        images = split.images.read(np.arange(len(split)))
        hashes.append({image.tobytes() for image in images})
    assert not hashes[0] & hashes[1]
    assert not hashes[0] & hashes[2]
    assert not hashes[1] & hashes[2]


def test_chance_is_the_largest_class_of_validation():
    digits = load_data("digits")
    assert digits.chance == 100 * np.bincount(digits.val.labels).max() / 359


def test_pixels_are_those_of_the_digits():
    """The resized training images, shrunk again, are scikit-learn's images."""
    from sklearn import datasets

    originals = {image.astype(int).tobytes() for image in datasets.load_digits().images}
    digits = load_data("digits")
    images = digits.train.images.read(np.arange(50))
    found = 0
    for image in images:
        small = np.asarray(image).reshape(8, 4, 8, 4).mean(axis=(1, 3)) / (255 / 16)
        nearest = min(np.abs(np.frombuffer(o, dtype=int).reshape(8, 8) - small).mean() for o in originals)
        found += nearest < 1
    assert found == 50
