import pytest

from narsfast.data import DIGITS, DataSource
from narsfast.errors import UserError
from narsfast.training import TrainerSettings, check_optimizers, effective_backend, resolve_backend

from .apex_stub import NAMESAKE, nvidias, write


def test_auto_without_apex_is_native_on_the_cpu_and_torch_on_cuda(apex):
    assert resolve_backend("auto", "cpu") == "native"
    assert resolve_backend("auto", "cuda") == "torch"


def test_auto_with_apex_is_apex_on_cuda_only(apex):
    nvidias(apex)
    assert resolve_backend("auto", "cuda") == "apex"
    assert resolve_backend("auto", "cpu") == "native"


def test_auto_ignores_the_namesake(apex, caplog):
    write(apex, {"apex/__init__.py": NAMESAKE})
    assert resolve_backend("auto", "cuda") == "torch"
    assert len(caplog.records) == 1


def test_explicit_backend_is_kept(apex, monkeypatch):
    nvidias(apex)
    monkeypatch.setattr("narsfast._native.cuda_built", lambda: True)
    for device in ("cpu", "cuda"):
        assert resolve_backend("torch", device) == "torch"
        assert resolve_backend("native", device) == "native"
    assert resolve_backend("apex", "cuda") == "apex"


def test_missing_apex_is_refused(apex):
    with pytest.raises(UserError, match="optim_backend is 'apex', but apex is not installed"):
        resolve_backend("apex", "cuda")


def test_apex_on_the_cpu_is_refused(apex):
    nvidias(apex)
    with pytest.raises(UserError, match="computes on CUDA only, and the device is 'cpu'; take 'auto'"):
        resolve_backend("apex", "cpu")


def test_settings_resolve_only_what_is_auto():
    assert TrainerSettings().resolved(DataSource.parse(DIGITS)).optim_backend == "native"
    asked = TrainerSettings(threads_per_trial=2, optim_backend="torch").resolved(DataSource.parse(DIGITS))
    assert (asked.threads_per_trial, asked.optim_backend) == (2, "torch")


@pytest.mark.parametrize(
    ("backend", "steps"),
    [
        ("native", ["native", "torch", "torch"]),
        ("torch", ["torch", "torch", "torch"]),
        ("apex", ["torch", "apex", "apex"]),
    ],
)
def test_step_of_each_optimizer_is_computed_by_the_backend_that_has_it(backend, steps):
    assert [effective_backend(name, backend) for name in ("rmsprop", "sgd", "adamw")] == steps


def test_lamb_without_apex_is_refused(apex):
    check_optimizers(["rmsprop", "sgd", "adamw"], "native")
    check_optimizers(["lamb", "sgd"], "apex")
    with pytest.raises(
        UserError, match=r"^optimizer is 'lamb', .* 'native' \(apex is not installed\); take 'adamw'"
    ):
        check_optimizers(["sgd", "lamb"], "native")


def test_native_on_cuda_without_kernels_is_refused(monkeypatch):
    monkeypatch.setattr("narsfast._native.cuda_built", lambda: False)
    with pytest.raises(UserError, match=r"^optim_backend is 'native', .* -C cmake.define.NARSFAST_CUDA=ON"):
        resolve_backend("native", "cuda")
    monkeypatch.setattr("narsfast._native.cuda_built", lambda: True)
    assert resolve_backend("native", "cuda") == "native"
