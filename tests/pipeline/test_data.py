"""A run goes on with the data that it was created with, wherever it lies, and with no other."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import narsfast as nf
from narsfast import pipeline
from narsfast.data import batches
from narsfast.pipeline._data import CONTENT_FILE
from narsfast.pipeline._trials import run_tasks
from narsfast.runs import PickedCandidate, RunStore

OPTIONS = {
    "space": str(Path(__file__).parents[1] / "small.yaml"),
    "pool_size": 64,
    "trials_per_batch": 2,
    "finalists": 1,
    "iterations": 1,
    "loader": "torchvision",
}
IDS = ("a" * 16, "b" * 16)


def write(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate(("cat", "dog")):
        for i in range(7):
            write(tmp_path / "photos" / name / f"{i}.png", 10 * number + i)
    return tmp_path / "photos"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


def start(out, data, **options):
    """Make a run that has loaded its data and picked a batch."""
    with pipeline.open_search(out, {**OPTIONS, "data": str(data), **options}) as search:
        images = len(search.data.train)
        search.store.add_batch(0, 1, [PickedCandidate(name, (0,), {}, {}) for name in IDS])
    return images


def again(out, data=None, moved_to=None, **options):
    """Resume it as far as its data, by the same command or by `narsfast resume`."""
    given = None if data is None else {**OPTIONS, "data": str(data), **options}
    with pipeline.open_search(out, given, resume=pipeline.Resume(moved_to)) as search:
        return search.data


def kept(out):
    with RunStore.read(out) as run:
        return run.config["data"], run.facts.content


def test_same_data_goes_on(photos, out):
    assert start(out, photos) == len(again(out, photos).train) == len(again(out).train)
    assert (out / CONTENT_FILE).exists()


CHANGES = {
    "changed": (lambda root: write(root / "cat" / "3.png", 99), "1 changed: cat/3.png"),
    "relabelled": (
        lambda root: (root / "cat" / "3.png").rename(root / "dog" / "x.png"),
        "1 relabelled: cat/3.png from cat to dog",
    ),
    "added": (lambda root: write(root / "cat" / "x.png", 99), "1 added: cat/x.png"),
    "removed": (lambda root: (root / "dog" / "3.png").unlink(), "1 removed: dog/3.png"),
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("command", ["run", "resume"])
def test_other_data_in_the_same_place_is_refused_and_what_changed_is_named(photos, out, kind, command):
    start(out, photos)
    change, said = CHANGES[kind]
    change(photos)
    with pytest.raises(
        nf.UserError, match=f"data: .*photos has changed since the run was started: {said}; restore it"
    ):
        again(out, photos if command == "run" else None)


def test_exchange_that_keeps_classes_counts_and_mean_is_noticed(photos, out):
    """Version 0.2 compared these three alone."""
    start(out, photos)
    for name in ("3.png", "5.png"):
        for one, other in (("cat", "x"), ("dog", "cat"), ("x", "dog")):
            (photos / "x").mkdir(exist_ok=True)
            (photos / one / name).rename(photos / other / name)
    (photos / "x").rmdir()
    with pytest.raises(nf.UserError, match=r"4 changed: cat/3.png, cat/5.png, dog/3.png"):
        again(out, photos)


def test_without_the_list_of_files_the_fingerprint_still_decides(photos, out):
    start(out, photos)
    (out / CONTENT_FILE).unlink()
    again(out, photos)
    (out / CONTENT_FILE).write_bytes(b"damaged")
    again(out, photos)
    (out / CONTENT_FILE).unlink()
    write(photos / "cat" / "3.png", 99)
    with pytest.raises(nf.UserError, match="has changed since the run was started"):
        again(out, photos)


@pytest.mark.parametrize("command", ["run", "resume"])
def test_moved_data_is_pointed_at(photos, out, tmp_path, command):
    start(out, photos)
    moved = shutil.move(photos, tmp_path / "other disk")
    with pytest.raises(nf.UserError, match="photos' is not a folder"):
        again(out)
    again(out, moved) if command == "run" else again(out, moved_to=moved)
    assert kept(out)[0] == str(moved)
    assert len(again(out).train) == len(again(out, moved).train)


@pytest.mark.parametrize("command", ["run", "resume"])
def test_other_data_elsewhere_is_refused_and_the_place_is_kept(photos, out, tmp_path, command):
    start(out, photos)
    other = shutil.copytree(photos, tmp_path / "other")
    write(other / "dog" / "x.png", 99)
    with pytest.raises(
        nf.UserError, match=r"other has changed since the run was started: 1 added: dog/x.png"
    ):
        again(out, other) if command == "run" else again(out, moved_to=other)
    assert kept(out)[0] == str(photos)
    again(out)


def test_link_that_leads_elsewhere_is_data_that_moved(photos, out, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(photos)
    start(out, link)
    shutil.move(photos, tmp_path / "new")
    link.unlink()
    link.symlink_to(tmp_path / "new")
    again(out, link)
    again(out)
    again(out, tmp_path / "new")
    assert kept(out)[0] == str(link)


def test_run_of_version_0_2_behind_a_link_goes_on(photos, out, tmp_path):
    """It stored the place that the link led to."""
    link = tmp_path / "link"
    link.symlink_to(photos)
    start(out, photos)
    again(out, link)
    assert kept(out)[0] == str(photos)
    shutil.move(photos, tmp_path / "new")
    link.unlink()
    link.symlink_to(tmp_path / "new")
    again(out, link)
    assert kept(out)[0] == str(link)


def of_version_0_2(out):
    """Make it a run that does not say how images are read, nor what the data is made of."""
    (out / CONTENT_FILE).unlink()
    with RunStore.open(out, None) as run:
        run.facts.content = None
        with run._writing() as execute:
            execute("DELETE FROM config WHERE key IN ('layout', 'orient', 'bit_depth')")


def test_run_of_version_0_2_goes_on_and_is_known_by_its_content_from_then_on(photos, out, tmp_path):
    start(out, photos, layout="0.2", orient=False, bit_depth="0.2")
    of_version_0_2(out)
    again(out, photos)
    assert kept(out)[1] is not None
    write(photos / "cat" / "3.png", 99)
    with pytest.raises(nf.UserError, match=r"1 changed: cat/3.png"):
        again(out, photos)


def test_run_of_version_0_2_whose_data_changed_is_refused_by_what_it_kept(photos, out):
    start(out, photos)
    of_version_0_2(out)
    write(photos / "cat" / "x.png", 99)
    with pytest.raises(
        nf.UserError, match=r"has changed since the run was started: .*train \(stored 10, given 11\)"
    ):
        again(out, photos)


def turn(photos):
    exif = Image.Exif()
    exif[0x0112] = 6
    for file in photos.glob("*/*.png"):
        Image.open(file).save(file, exif=exif)


def test_new_run_turns_photos_and_one_of_version_0_2_does_not(photos, out, tmp_path):
    turn(photos)
    start(out, photos)
    start(tmp_path / "old", photos, orient=False)
    of_version_0_2(tmp_path / "old")
    new, old = again(out, photos), again(tmp_path / "old", photos)
    assert new.preprocess.reading.orient
    assert not old.preprocess.reading.orient
    pair = (np.asarray(data.train.images.read(np.array([0]))[0]) for data in (new, old))
    assert np.array_equal(np.rot90(next(pair), 1), next(pair))
    assert not next(batches(new.train, 16, 2))[0].equal(next(batches(old.train, 16, 2))[0])
    with pytest.raises(nf.UserError, match=r"orient \(not stored, given True\)"):
        again(tmp_path / "old", photos, orient=True)


def test_trainings_are_told_what_the_driver_found(photos, out):
    start(out, photos, layout="flat", bit_depth=12)
    with pipeline.open_search(out) as search:
        task = search.task(search.space.decode(search.space.random(1, 0))[0], 1, 1, "search")
    assert (task.folder_options.layout, task.folder_options.bit_depth) == ("flat", "12")
    assert task.content == kept(out)[1]
    assert task.known == str(out / CONTENT_FILE)


def test_photos_that_vanish_while_a_candidate_trains_are_waited_for(
    photos, out, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("narsfast.data._source.CACHE_BYTES", 0)
    with pipeline.open_search(out, {**OPTIONS, "data": str(photos)}, workers=1) as search:
        task = search.task(search.space.decode(search.space.random(1, 0))[0], 1, 1, "search")
        photos.rename(tmp_path / "aside")
        monkeypatch.setattr("time.sleep", lambda _: (tmp_path / "aside").rename(photos))
        (trial,) = run_tasks(search, [task], "search", "optimize")
    assert (trial.outcome, len(trial.curve)) == ("ok", 1)
    assert "cannot be read now (No such file or directory); it is tried again in 0 s" in caplog.text


def test_options_of_the_data_stay_those_of_the_run(photos, out):
    start(out, photos)
    for option, value in (("orient", False), ("layout", "flat"), ("bit_depth", "16")):
        with pytest.raises(nf.UserError, match=f"another configuration: {option}"):
            again(out, photos, **{option: value})


@pytest.mark.parametrize("place", ["", "run", "runs/photos", "cat/run", "cat/../dog/run"])
def test_run_among_its_images_is_refused_before_anything_is_made(photos, tmp_path, monkeypatch, place):
    before = sorted(photos.rglob("*"))
    monkeypatch.chdir(photos)
    for data, out in ((photos, photos / place), (".", place or ".")):
        with pytest.raises(
            nf.UserError, match=r"out: .* is in the folder of the images, .*photos; name another place"
        ):
            start(out, data)
    assert sorted(photos.rglob("*")) == before


@pytest.mark.parametrize("data", ["nothing", "nothing.csv", "nothing.safetensors"])
def test_run_of_data_that_is_not_there_is_refused_before_anything_is_made(out, tmp_path, data):
    with pytest.raises(nf.UserError, match=r"data .*nothing"):
        start(out, tmp_path / data)
    assert not out.exists()


@pytest.mark.parametrize("name", ["caf\udce9", "caf\udce9/run", "b\udcc3\udca4ume"])
def test_run_whose_name_is_no_text_is_refused_before_anything_is_made(photos, tmp_path, name):
    with pytest.raises(
        nf.UserError, match=r"out is '.*', (whose name is not UTF-8; give|but Python reads names as)"
    ):
        start(tmp_path / name, photos)
    with pytest.raises(nf.UserError, match=r"out is '.*', "):
        pipeline.scale_network("a", "2x", tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_link_into_the_images_is_seen_through(photos, tmp_path):
    (tmp_path / "link").symlink_to(photos)
    with pytest.raises(nf.UserError, match="is in the folder of the images"):
        start(tmp_path / "link" / "run", photos)
    with pytest.raises(nf.UserError, match="is in the folder of the images"):
        start(photos / "run", tmp_path / "link")


def test_default_run_directory_among_the_images_is_refused(run_narsfast, photos, monkeypatch):
    monkeypatch.chdir(photos)
    code, _, err = run_narsfast("run", "--data", ".", "--space", OPTIONS["space"])
    assert code == 1
    assert "is in the folder of the images" in err
    assert not (photos / "runs").exists()


def test_training_of_one_network_among_the_images_is_refused(photos):
    with pytest.raises(nf.UserError, match="is in the folder of the images"):
        pipeline.train_with_recipe(
            "timm:resnet18", nf.Recipe(), photos / "net", data=str(photos), resolution=16
        )
    assert not (photos / "net").exists()


def test_resume_takes_the_new_place_of_the_data(run_narsfast, photos, out, tmp_path, monkeypatch):
    start(out, photos)
    seen = {}

    def run(out, options, workers, progress, resume):
        seen.update(options=options, moved_to=resume.moved_to)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", run)
    run_narsfast("resume", out, "--data", tmp_path / "new")
    assert seen == {"options": None, "moved_to": str(tmp_path / "new")}


def test_run_that_has_no_batch_yet_keeps_its_options_with_data_that_moved(photos, out, tmp_path):
    with pipeline.open_search(out, {**OPTIONS, "data": str(photos), "seed": 7}) as search:
        assert search.data
    moved = shutil.move(photos, tmp_path / "new")
    again(out, moved_to=moved)
    with RunStore.read(out) as run:
        assert (run.config["seed"], run.config["data"]) == (7, str(moved))


def dataset(change=None):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    if change is not None:
        pixels[[0, 2]] = pixels[[2, 0]]  # of one class: the same classes, counts and mean
    pairs = [(image, i % 2) for i, image in enumerate(pixels)]
    return pairs, pairs[:4], pairs[4:8]


def own(out, data):
    with pipeline.open_search(out, OPTIONS, own=pipeline.Own(data=data)) as search:
        if not search.store.batches():
            search.store.add_batch(0, 1, [PickedCandidate(name, (0,), {}, {}) for name in IDS])
        return search.data


def test_other_images_in_memory_are_refused(out):
    own(out, dataset())
    own(out, dataset())
    with pytest.raises(
        nf.UserError, match=r"it is not what .*: 2 image\(s\) of train, the first is train\[0\]"
    ):
        own(out, dataset(change=True))


def test_run_that_moved_finds_the_data_that_it_holds(out, tmp_path):
    own(out, dataset())
    moved = shutil.move(out, tmp_path / "moved")
    assert len(again(moved).train) == 12
    assert kept(moved)[0] == str(moved / "data.safetensors")


@pytest.mark.parametrize("opened_in", [None, "here", "the parent"])
def test_process_that_is_forked_from_one_that_has_searched_is_refused(photos, out, monkeypatch, opened_in):
    process = {None: None, "here": os.getpid(), "the parent": os.getppid()}[opened_in]
    monkeypatch.setattr("narsfast.pipeline._open._opened_in", process)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    if opened_in == "the parent":
        with pytest.raises(
            nf.UserError, match=r"forked .*; start it by the method 'spawn', or call torch\.set_num_th"
        ):
            start(out, photos)
        assert not out.exists()
        monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    assert start(out, photos) == 10
