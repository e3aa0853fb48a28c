from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset, TensorDataset

from narsfast.data import as_dataset, batches, dataset_from, load_data, save_dataset
from narsfast.errors import UserError

GRAY = np.arange(20, dtype=np.uint8).reshape(4, 5) * 12
COLOR = np.stack([GRAY, GRAY[::-1], 255 - GRAY], axis=2)


def pixels(dataset, split="train"):
    own = getattr(dataset, split)
    return own.images.pixels(np.arange(len(own)))


def two(image):
    """Two images of two classes."""
    return [(image, 0), (image, 1)]


def made_of(image, **options):
    return dataset_from(two(image), two(image), two(image), **options)


def channels_first(array):
    return np.moveaxis(array, 2, 0)


COLOR_FORMS = {
    "PIL": Image.fromarray(COLOR),
    "PIL, another mode": Image.fromarray(COLOR).convert("RGBA"),
    "array": COLOR,
    "array, channels first": channels_first(COLOR),
    "array, floats": (COLOR / 255).astype(np.float32),
    "array, half floats": (COLOR / 255).astype(np.float16),
    "tensor": torch.from_numpy(channels_first(COLOR).copy()),
    "tensor, channels last": torch.from_numpy(COLOR),
    "tensor, floats": torch.from_numpy(channels_first(COLOR) / 255),
    "tensor, float32": torch.from_numpy(channels_first(COLOR) / 255).float(),
}
GRAY_FORMS = {
    "PIL": Image.fromarray(GRAY),
    "array": GRAY,
    "array, one channel": GRAY[..., None],
    "tensor": torch.from_numpy(GRAY),
    "tensor, one channel": torch.from_numpy(GRAY)[None],
    "tensor, floats": torch.from_numpy(GRAY / 255)[None],
}


@pytest.mark.parametrize("image", COLOR_FORMS.values(), ids=COLOR_FORMS)
def test_every_form_of_a_color_image_gives_its_pixels(image):
    dataset = made_of(image)
    assert dataset.in_chans == 3
    for found in pixels(dataset):
        np.testing.assert_array_equal(found, COLOR)


@pytest.mark.parametrize("image", GRAY_FORMS.values(), ids=GRAY_FORMS)
def test_every_form_of_a_gray_image_gives_its_pixels(image):
    dataset = made_of(image)
    assert dataset.in_chans == 1
    for found in pixels(dataset):
        np.testing.assert_array_equal(found, GRAY[..., None])


def test_where_both_orders_are_possible_a_tensor_has_its_channels_first_and_an_array_last():
    cube = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    np.testing.assert_array_equal(pixels(made_of(cube))[0], cube)
    np.testing.assert_array_equal(pixels(made_of(torch.from_numpy(cube)))[0], np.moveaxis(cube, 0, 2))


def test_16_bit_pil_image_is_scaled_to_8_bits():
    wide = Image.fromarray(GRAY.astype(np.uint16) * 256)
    np.testing.assert_array_equal(pixels(made_of(wide))[0], GRAY[..., None])


def test_gray_images_among_colored_ones_become_rgb():
    mixed = [(GRAY, 0), (COLOR, 1)]
    dataset = dataset_from(two(GRAY), mixed, two(GRAY))
    assert dataset.in_chans == 3
    np.testing.assert_array_equal(pixels(dataset)[0], np.repeat(GRAY[..., None], 3, axis=2))
    np.testing.assert_array_equal(pixels(dataset, "val")[1], COLOR)


def test_images_of_several_sizes_and_labels_of_several_types_are_kept():
    train = [(GRAY, 0), (GRAY[:2], np.int64(1)), (GRAY[:, :3], torch.tensor(2)), (GRAY, np.array(1))]
    dataset = dataset_from(train, train, train)
    assert dataset.train.images.sizes.tolist() == [[4, 5], [2, 5], [4, 3], [4, 5]]
    assert dataset.train.labels.tolist() == [0, 1, 2, 1]
    assert dataset.train.labels.dtype == np.int64
    assert dataset.classes == ("0", "1", "2")


def test_buffer_that_a_dataset_uses_again_is_copied():
    class Reusing:
        buffer = np.zeros((4, 4), np.uint8)

        def __len__(self):
            return 2

        def __getitem__(self, index):
            self.buffer[:] = 100 + index
            return self.buffer, index

    first, second = pixels(dataset_from(Reusing(), Reusing(), Reusing()))
    assert (first.min(), first.max(), second.min(), second.max()) == (100, 100, 101, 101)


def test_preprocessing_is_that_of_the_same_images_in_a_folder(make_folder):
    root = make_folder({"train/a": 5, "train/b": 5, "val/a": 2, "val/b": 2, "test/a": 2, "test/b": 2}, "png")

    def images(split):
        files = sorted((root / split).glob("*/*.png"))
        return [(Image.open(file), "ab".index(file.parent.name)) for file in files]

    folder = load_data(root, 320)
    dataset = dataset_from(images("train"), images("val"), images("test"), classes=("a", "b"), name="photos")
    assert replace(dataset.preprocess, reading=folder.preprocess.reading) == folder.preprocess
    assert dataset.fingerprint() == folder.fingerprint()
    assert (dataset.name, dataset.embedded) == ("photos", True)
    for own, other in ((dataset.train, folder.train), (dataset.val, folder.val)):
        for (x, y), (reference, labels) in zip(batches(own, 24, 4), batches(other, 24, 4), strict=True):
            assert x.equal(reference)
            assert y.equal(labels)


def test_larger_images_are_shrunk_for_a_resolution_as_those_of_a_folder(make_folder):
    root = make_folder({"a": 4, "b": 4}, "png", size=(90, 60))
    image = Image.open(root / "a" / "000.png")
    dataset = made_of(image, resolution=16)
    assert dataset.train.images.sizes.tolist() == [[24, 36]] * 2
    expected = load_data(root, 16).train
    assert expected.images.sizes[0].tolist() == [24, 36]
    reduced = image.resize((36, 24), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pixels(dataset)[0], np.asarray(reduced))
    assert made_of(image).train.images.sizes.tolist() == [[60, 90]] * 2


class Named(list):
    def __init__(self, items, classes):
        super().__init__(items)
        self.classes = classes


def test_classes_come_from_the_argument_the_dataset_or_the_labels():
    named = Named(two(GRAY), ["cat", "dog"])
    assert dataset_from(named, two(GRAY), two(GRAY)).classes == ("cat", "dog")
    subset = Subset(Subset(named, [0, 1]), [1, 0])
    assert dataset_from(subset, subset, subset).classes == ("cat", "dog")
    assert dataset_from(named, named, named, classes=["a", "b", "c"][:2]).classes == ("a", "b")
    tensors = TensorDataset(torch.zeros(2, 1, 4, 4), torch.arange(2))
    assert dataset_from(tensors, tensors, tensors).classes == ("0", "1")
    synonyms = Named(two(GRAY), [("tench", "Tinca tinca"), ("crane",)])
    assert dataset_from(synonyms, synonyms, synonyms).classes == ("tench, Tinca tinca", "crane")


def test_same_datasets_give_the_same_data_set(tmp_path):
    files = [tmp_path / f"{number}.safetensors" for number in range(2)]
    for file in files:
        save_dataset(made_of(COLOR, mirror=False), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert not load_data(files[0]).mirror


class Broken:
    def __len__(self):
        return 2

    def __getitem__(self, index):
        if index == 1:
            raise OSError("no such file: 1.jpg")
        return GRAY, index


class Changing:
    def __init__(self):
        self.reads = 0

    def __len__(self):
        return 2

    def __getitem__(self, index):
        self.reads += 1
        return GRAY + np.uint8(self.reads), index


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ([(GRAY, 0), GRAY], r"train\[1\] is ndarray; it must be a pair \(image, label\)"),
        ([(GRAY, 0), (GRAY, 1.0)], r"train\[1\] has the label 1.0; it must be a whole number from 0"),
        ([(GRAY, 0), (GRAY, torch.eye(2))], r"train\[1\] has the label tensor"),
        ([(GRAY, 0), ("cat.jpg", 1)], r"train\[1\] has an image .*: it is str; give a PIL image, an array"),
        ([(GRAY, 0), (COLOR - 1.0, 1)], r"train\[1\] .* values go from -1 to 254; give floats from 0 to 1"),
        ([(GRAY, 0), (GRAY * np.nan, 1)], r"train\[1\] .* values go from nan to nan; give floats"),
        ([(GRAY, 0), (GRAY.astype(int), 1)], r"train\[1\] .* type is int64; give uint8, or floats"),
        (
            [(GRAY, 0), (np.zeros((4, 4, 2)), 1)],
            r"train\[1\] .* shape is \(4, 4, 2\); give \(height, width\)",
        ),
        ([(GRAY, 0), (np.zeros((0, 4)), 1)], r"train\[1\] .* shape is \(0, 4\)"),
        ([(GRAY, 0), (Image.new("F", (2, 2)), 1)], r"train\[1\] .* floating-point pixels are not supported"),
        ([(GRAY, 0), (GRAY, -1)], r"train\[1\] has the label -1; of 2 classes it must be one from 0 to 1"),
        ([(GRAY, 1), (GRAY, 2)], "train has no image of '0'; number the classes from 0"),
        (Named(two(GRAY), "ab"), None),
        (Named(two(GRAY), ["one"]), r"classes are \['one'\]; at least two are needed"),
        (Named(two(GRAY), ["a", "b", "c"]), "train has no image of 'c'"),
        ([], "train is empty; give at least one image"),
        (iter(two(GRAY)), "train is list_iterator, which has no length"),
        (Broken(), r"train\[1\] cannot be read \(OSError: no such file: 1.jpg\); correct the dataset"),
        (Changing(), r"train\[0\] is another image when it is read again; leave random transforms out"),
    ],
)
def test_bad_input_is_refused_with_its_place_and_a_remedy(train, said):
    if said is None:  # an attribute `classes` that is no list of names is passed over
        assert dataset_from(train, two(GRAY), two(GRAY)).classes == ("0", "1")
        return
    with pytest.raises(UserError, match=f"^data: {said}"):
        dataset_from(train, two(GRAY), two(GRAY))


def test_label_beyond_the_classes_is_refused_in_every_split():
    with pytest.raises(
        UserError, match=r"test\[1\] has the label 2; of 2 classes it must be one from 0 to 1"
    ):
        dataset_from(two(GRAY), two(GRAY), [(GRAY, 0), (GRAY, 2)], classes=("a", "b"))


def test_datasets_of_different_classes_are_refused():
    first, second = (Named(two(GRAY), names) for names in (["a", "b"], ["b", "a"]))
    with pytest.raises(
        UserError, match=r"the classes of train and val differ, \('a', 'b'\) and \('b', 'a'\)"
    ):
        dataset_from(first, second, first)
    assert dataset_from(first, second, first, classes=("a", "b")).classes == ("a", "b")


def test_as_dataset_takes_a_dataset_a_tuple_or_a_mapping():
    dataset = made_of(GRAY)
    assert as_dataset(dataset) is dataset
    parts = {"train": two(GRAY), "val": two(GRAY), "test": two(GRAY)}
    for given in (parts, tuple(parts.values())):
        assert as_dataset(given, mirror=False, resolution=2).train.images.sizes[0].tolist() == [3, 4]
        assert not as_dataset(given, mirror=False).mirror
    for wrong in ("digits", two(GRAY), {"train": two(GRAY)}):
        with pytest.raises(UserError, match=r"^data is (str|list|dict); give a Dataset, or three datasets"):
            as_dataset(wrong)


@pytest.mark.parametrize(("highest", "bits"), [(200, 8), (900, 10), (4095, 12), (0x8000, 16)])
def test_bit_depth_of_pil_images_is_that_of_the_largest_value(caplog, highest, bits):
    images = [Image.fromarray(np.full((4, 4), value, np.uint16)) for value in (0, highest // 2, highest)]
    pairs = [(image, i % 2) for i, image in enumerate(images)]
    data = dataset_from(pairs, pairs, pairs)
    assert data.preprocess.reading.bit_depth == bits
    assert [int(image.max()) for image in pixels(data)] == [
        v >> (bits - 8) for v in (0, highest // 2, highest)
    ]
    assert ("read as" in caplog.text) == (bits < 16)
    old = dataset_from(pairs, pairs, pairs, bit_depth="0.2")
    assert [int(image.max()) for image in pixels(old)] == [v >> 8 for v in (0, highest // 2, highest)]
