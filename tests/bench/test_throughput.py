import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from bench import throughput
from bench.throughput import Case, Place
from narsfast.cost import STATISTICS, count_definitions
from narsfast.errors import UserError


def row(rate, workers=1, case=throughput.PLAIN, device="cpu"):
    return {"device": device, "workers": workers, **case._asdict(), "images_per_second": rate}


@pytest.fixture
def photos(tmp_path):
    """Write gray squares of two shades: 40 of each in train, 12 in the others."""
    for split, count in (("train", 40), ("validation", 12), ("test", 12)):
        for name, shade in (("dark", 40), ("light", 200)):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(np.full((64, 64, 3), shade + index % 20, np.uint8)).save(
                    folder / f"{index}.jpg"
                )
    return tmp_path


def test_figures_compare_best_row_with_plain_row_of_equal_workers():
    fused = Case("dali", "fused", "float32")
    rows = [row(100.0), row(150.0, workers=2), row(300.0, case=fused), row(600.0, 2, fused)]
    rows.append({**row(0.0, 4, fused), "failed": "why"})
    rows.append(row(9000.0, 1, fused, "cuda"))
    assert throughput.figures_of(rows) == {
        "throughput_best_images_per_s_cpu": 600.0,
        "throughput_vs_plain": 4.0,
        "throughput_best_images_per_s_cuda": 9000.0,
    }


@pytest.mark.parametrize(
    ("most", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (16, [1, 2, 4, 8, 16])]
)
def test_worker_counts_double_up_to_the_most(most, counts):
    assert throughput.worker_counts(most) == counts


def test_network_has_the_macs_in_the_docstring():
    macs = count_definitions([throughput.DEFINITION], num_classes=10)[0, STATISTICS.index("macs")]
    assert round(macs / 1e6, 1) == 10.2
    assert "10.2 M\nmultiply-adds" in throughput.__doc__


def test_cases_leave_out_what_the_machine_cannot_do_with_the_reason(monkeypatch, capsys):
    def missing(choice):
        raise UserError(f"loader is {choice!r}, which cannot be imported")

    monkeypatch.setattr(throughput, "resolve_loader", missing)
    monkeypatch.setattr(throughput._native, "has_cuda", lambda: False)
    found = throughput.cases("cuda")
    assert {(case.loader, case.ops) for case in found} == {("torchvision", "torch")}
    assert [case.precision for case in found] == ["float32", "bfloat16", "float16"]
    said = capsys.readouterr().out
    assert "rows of dali on cuda, as loader is 'dali', which cannot be imported" in said
    assert "rows of fused on cuda, as this install has no CUDA kernels" in said


def test_places_group_gpus_by_name_and_workers_see_their_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: ["big", "small", "big"][index])
    cpu, *gpus = throughput.places()
    assert cpu.device == "cpu"
    assert gpus == [Place("cuda", "big", 2, "4,7"), Place("cuda", "small", 1, "5")]
    with throughput.executor_at(gpus[0], 2) as executor:
        assert [executor._environment(number)["CUDA_VISIBLE_DEVICES"] for number in (0, 1)] == ["4", "7"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5,7"


def test_measure_trains_part_of_the_photos_and_keeps_failures_as_rows(photos, monkeypatch):
    broken = Case("torchvision", "torch", "float16")
    real = throughput.seconds

    def seconds(executor, case, *rest):
        if case == broken:
            raise UserError("no such thing here")
        return real(executor, case, *rest)

    monkeypatch.setattr(throughput, "seconds", seconds)
    with throughput.part_of(photos, 2) as part:
        assert len(list(part.glob("train/*/*"))) == 40
        assert len(list(part.glob("validation/*/*"))) == 12
        assert throughput.images_of_an_epoch(part) == 32
        rows = throughput.measure(Place("cpu", "this one", 1), 1, [throughput.PLAIN, broken], part, 1)
    assert rows[0]["images_per_second"] > 0
    assert rows[1]["failed"] == "no such thing here"
    assert "images_per_second" not in rows[1]


def test_merged_keeps_rows_of_other_devices(tmp_path):
    def row(device, name, rate, **changed):
        case = {"loader": "torchvision", "ops": "torch", "precision": "float32", "workers": 1}
        return {"device": device, "name": name, "images_per_second": rate, **case, **changed}

    file = tmp_path / "rates.json"
    here = [row("cpu", "here", 10.0), row("cpu", "here", 30.0, ops="fused")]
    figures, rows = throughput.merged(file, here)
    assert (figures["throughput_vs_plain"], rows) == (3.0, here)
    file.write_text(json.dumps({"figures": figures, "rows": rows}))
    there = [row("cuda", "big", 500.0)]
    figures, rows = throughput.merged(file, there)
    assert figures == throughput.figures_of(here) | {"throughput_best_images_per_s_cuda": 500.0}
    assert rows == here + there
    file.write_text(json.dumps({"figures": figures, "rows": rows}))
    again = [row("cpu", "here", 20.0)]
    figures, rows = throughput.merged(file, again)
    assert (figures["throughput_best_images_per_s_cpu"], rows) == (20.0, there + again)
