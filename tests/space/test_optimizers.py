import pytest

from narsfast.errors import UserError
from narsfast.space import (
    OptimizerInfo,
    Recipe,
    _optimizers,
    add_optimizer,
    load_space,
    optimizer_info,
    optimizers,
    with_recipe_space,
)

REGISTERS = """
from narsfast.space import OptimizerInfo, add_optimizer
add_optimizer(OptimizerInfo("lion", "sign of the momentum", reads=("momentum", "beta2")))
"""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(_optimizers, "_registry", dict(_optimizers._registry))
    _optimizers._run.cache_clear()


def test_optimizers_read_fields_of_a_recipe():
    for info in optimizers():
        factors = {info.rate_factor, info.decay_factor} - {None}
        assert factors | set(info.reads) <= Recipe.model_fields.keys()
        assert info.description


@pytest.mark.parametrize(
    ("name", "rate", "decay"),
    [("rmsprop", 0.02, 1e-4), ("sgd", 0.08, 1e-4), ("adamw", 0.01, 0.1), ("lamb", 0.01, 0.1)],
)
def test_factors_of_an_optimizer_scale_its_rate_and_decay(name, rate, decay):
    recipe = Recipe(
        optimizer=name,
        learning_rate=0.02,
        sgd_factor=4.0,
        adamw_factor=0.5,
        weight_decay=1e-4,
        adamw_decay_factor=1e3,
    )
    assert recipe.peak_rate == pytest.approx(rate)
    assert recipe.effective_weight_decay == pytest.approx(decay)


def test_extended_recipe_space_has_the_extended_optimizers():
    space = with_recipe_space(load_space("tiny"), "extended")
    chosen = [info for info in optimizers() if info.extended]
    assert space.values("optimizer") == tuple(info.name for info in chosen)
    reading = tuple(info.name for info in chosen if "beta2" in info.reads)
    (condition,) = space.field("beta2").conditions
    assert (condition.parent, condition.values) == ("optimizer", reading)


def test_added_optimizer_is_a_value_of_recipes_and_spaces():
    with pytest.raises(
        UserError, match=r"recipe.optimizer is 'lion'; it must be 'rmsprop', .*, or FILE.py:NAME"
    ):
        Recipe.of({"optimizer": "lion"})
    info = OptimizerInfo("lion", "sign of the momentum", rate_factor="adamw_factor")
    add_optimizer(info)
    assert optimizer_info("lion") is info
    recipe = Recipe.of({"optimizer": "lion", "learning_rate": 0.01, "adamw_factor": 0.5})
    assert recipe.peak_rate == pytest.approx(0.005)
    data = load_space("tiny").to_dict()
    data["recipe"]["optimizer"] = {"choices": ["sgd", "lion"]}
    assert type(load_space("tiny")).from_dict(data).values("optimizer") == ("sgd", "lion")


def test_added_optimizer_is_replaced_by_a_later_one():
    for description in ("first", "second"):
        add_optimizer(OptimizerInfo("lion", description))
    assert optimizer_info("lion").description == "second"


@pytest.mark.parametrize(
    ("name", "said"),
    [("sgd", "'sgd' is built in"), ("my lion", "'my lion' must be letters"), ("a.py:b", "must be letters")],
)
def test_impossible_name_is_refused(name, said):
    with pytest.raises(UserError, match=said):
        add_optimizer(OptimizerInfo(name, ""))


def test_file_that_registers_an_optimizer_is_run_once(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(f"{REGISTERS}\nopen({str(tmp_path / 'runs')!r}, 'a').write('x')\n")
    for _ in range(2):
        recipe = Recipe.of({"optimizer": f"{file}:lion"})
        assert optimizer_info(recipe.optimizer).reads == ("momentum", "beta2")
    assert recipe.optimizer == f"{file}:lion"
    assert (tmp_path / "runs").read_text() == "x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"file '.*mine.py' does not exist; give an absolute path"),
        ("import nothing_of_that_name", r"its file failed \(ModuleNotFoundError: .*\); correct it"),
        ("", r"the file must register 'lion' by narsfast.training.register_optimizer"),
    ],
)
def test_file_that_does_not_register_the_optimizer_is_refused(tmp_path, text, said):
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=rf"recipe.optimizer is '.*mine.py:lion'; {said}"):
        Recipe.of({"optimizer": f"{file}:lion"})
    with pytest.raises(UserError, match=rf"^optimizer is '.*mine.py:lion'; {said}"):
        optimizer_info(f"{file}:lion")
