import pytest

from narsfast.config import resolve_config
from narsfast.errors import UserError
from narsfast.space import Space, load_space


def test_defaults_come_from_the_space():
    config = resolve_config({})
    tiny = load_space("tiny")
    assert Space.from_dict(config.space) == tiny
    assert config.data == "digits"
    assert config.budgets == ("macs=1M", "macs=2M", "macs=4M")
    assert config.pool_bounds == "macs=500K:10M"
    assert config.pool_size >= 2000
    assert config.batch * config.iterations >= 20
    assert (config.iterations, config.epochs) == (3, 8)


def test_a_folder_takes_the_mobile_space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = resolve_config({"data": "photos"})
    assert config.space["name"] == "mobile"
    assert config.data == str(tmp_path / "photos")


def test_fixed_fields_are_in_the_stored_space():
    config = resolve_config({"fix": {"optimizer": "sgd"}})
    assert Space.from_dict(config.space).values("optimizer") == ("sgd",)


def test_stored_values_hold_unless_said_otherwise():
    stored = resolve_config({"seed": 3, "budgets": ["macs=3M"]}).model_dump(mode="json")
    assert resolve_config({}, stored).model_dump(mode="json") == stored
    assert resolve_config({"seed": 4}, stored).seed == 4
    assert resolve_config({"budgets": ["macs=5M"]}, stored).budgets == ("macs=5M",)


def test_the_same_said_another_way_is_the_same():
    one = resolve_config({"budgets": ["macs=1000K"], "data": "digits"})
    assert one == resolve_config({"budgets": ["macs=1M"]})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pool_size": 1}, "pool_size: 1 is not valid"),
        ({"threshold": 2}, "threshold: 2 is not valid"),
        ({"sead": 1}, "sead: 1 is not valid"),
        ({"budgets": ["macs"]}, "budget 'macs' should be"),
    ],
)
def test_mistakes_name_the_field_and_the_value(options, said):
    with pytest.raises(UserError, match=said):
        resolve_config(options)


def test_fixing_the_same_again_changes_nothing():
    stored = resolve_config({"fix": {"optimizer": "sgd"}}).model_dump(mode="json")
    assert resolve_config({"fix": {"optimizer": "sgd"}}, stored).model_dump(mode="json") == stored
    with pytest.raises(UserError, match="rmsprop"):
        resolve_config({"fix": {"optimizer": "rmsprop"}}, stored)
