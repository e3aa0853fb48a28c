"""What a run keeps of the machine it began on: every ``auto`` is resolved once."""

from pathlib import Path

import pytest

from narsfast import pipeline
from narsfast.errors import UserError
from narsfast.runs import RunStore
from narsfast.training import TrainerSettings

OPTIONS = {"space": str(Path(__file__).parent.parent / "small.yaml")}


def kept(path):
    with RunStore.read(path) as run:
        return run.config["optim_backend"], run.facts.versions.get("optim_backend")


def other_machine(monkeypatch, backend):
    """As if ``auto`` stood for another backend here."""

    def resolved(self, data):
        chosen = backend if self.optim_backend == "auto" else self.optim_backend
        return self.model_copy(update={"optim_backend": chosen, "loader": "torchvision"})

    monkeypatch.setattr(TrainerSettings, "resolved", resolved)


def test_auto_is_resolved_when_the_run_is_created_and_kept(tmp_path, monkeypatch):
    with pipeline.open_search(tmp_path, OPTIONS) as search:
        assert search.trainer == TrainerSettings().resolved(search.data)
        assert search.trainer.optim_backend == "native"
        genes = search.space.random(1, 0)
        task = search.task(search.space.decode(genes)[0], 1, 1, "search")
        assert task.settings.optim_backend == "native"
    assert kept(tmp_path) == ("auto", "native")
    other_machine(monkeypatch, "apex")
    with pytest.raises(UserError, match=r"another environment: optim_backend .*native.*apex"):
        pipeline.open_search(tmp_path, OPTIONS)
    with RunStore.open(tmp_path, None) as run:
        run.facts.stage = "done"
    with pipeline.open_search(tmp_path, OPTIONS) as search:
        assert search.trainer.optim_backend == "native"


def test_what_was_asked_for_is_not_resolved(tmp_path, monkeypatch):
    options = {**OPTIONS, "optim_backend": "torch"}
    pipeline.open_search(tmp_path, options).close()
    assert kept(tmp_path) == ("torch", None)
    other_machine(monkeypatch, "apex")
    with pipeline.open_search(tmp_path, options) as search:
        assert search.trainer.optim_backend == "torch"


def test_what_cannot_be_used_is_refused_before_any_training(tmp_path):
    with pytest.raises(UserError, match="optim_backend is 'apex', but apex is not installed"):
        pipeline.open_search(tmp_path, {**OPTIONS, "optim_backend": "apex"})
    lamb = tmp_path / "lamb.yaml"
    text = Path(OPTIONS["space"]).read_text()
    assert "[rmsprop, sgd]" in text
    lamb.write_text(text.replace("[rmsprop, sgd]", "[rmsprop, lamb]"))
    with pytest.raises(UserError, match="optimizer is 'lamb', which only NVIDIA's apex on CUDA computes"):
        pipeline.open_search(tmp_path / "run", {"space": str(lamb)})
    pipeline.open_search(tmp_path / "run", OPTIONS).close()  # nothing is lost
