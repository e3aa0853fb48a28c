import pytest
import yaml

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
        ({"optim_backend": "apex"}, "optim_backend: 'apex' is not valid"),
        ({"loader": "ffcv"}, "loader: 'ffcv' is not valid"),
        ({"sead": 1}, "sead: 1 is not valid"),
        ({"budgets": ["macs"]}, "budget 'macs' should be"),
        ({"data": ""}, "data is empty"),
        ({"batch": 100, "pool_size": 256}, "pool_size is 256; 3 batches of 100 need at least 300"),
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


def _file(tmp_path, change):
    data = load_space("tiny").to_dict()
    change(data)
    file = tmp_path / "space.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    return str(file)


def test_a_space_without_budgets_needs_some(tmp_path):
    file = _file(tmp_path, lambda data: data.pop("budgets"))
    with pytest.raises(UserError, match="space tiny has no budgets; give some, as in --budget macs=50M"):
        resolve_config({"space": file})
    assert resolve_config({"space": file, "budgets": ["macs=1M"]}).budgets == ("macs=1M",)


def test_a_space_without_a_pool_is_sampled_whole(tmp_path):
    file = _file(tmp_path, lambda data: data.pop("pool"))
    assert resolve_config({"space": file}).pool_bounds is None


def test_a_space_of_a_table_is_no_space_for_networks(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text("name: table\narchitecture: {width: {choices: [1, 2]}}\nrecipe: {}\n")
    with pytest.raises(UserError, match="space table has no stages"):
        resolve_config({"space": str(file)})


def test_the_same_budget_twice_is_one():
    given = ["macs=1M,params=1M", "params=1M,macs=1M"]
    assert resolve_config({"budgets": given}).budgets == ("macs=1M,params=1M",)
