from bench import recipe_switch
from bench.trainings import Case, accuracies, all_accuracies


def test_a_training_is_measured_on_both_splits_wherever_it_runs():
    case = Case(recipe_switch.BASE, 32, recipe_switch.PLAIN.model_dump(mode="json"), 1, 1, "digits")
    validation, test = accuracies(case)
    assert 0 <= validation <= 100
    assert 0 <= test <= 100
    other = case._replace(seed=2)
    assert all_accuracies([case, other], workers=1) == [(validation, test), accuracies(other)]


def test_a_training_that_diverges_is_a_constant_guess():
    recipe = recipe_switch.PLAIN.model_copy(update={"learning_rate": 1e30}).model_dump(mode="json")
    validation, test = accuracies(Case(recipe_switch.BASE, 32, recipe, 1, 1, "digits"))
    assert validation == test
    assert 5 < test < 15
