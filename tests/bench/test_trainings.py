from bench import recipe_switch
from bench.trainings import Case, accuracies, all_accuracies
from narsfast.arch import NetworkSpec


def test_accuracies_are_equal_in_this_and_in_another_process(few_images):
    case = Case(NetworkSpec(recipe_switch.BASE, 32), recipe_switch.PLAIN, 1, 1, few_images)
    validation, test = accuracies(case)
    assert 0 <= validation <= 100
    assert 0 <= test <= 100
    other = case._replace(seed=2)
    assert all_accuracies([case, other], workers=1) == [(validation, test), accuracies(other)]


def test_diverged_training_counts_as_constant_guess():
    recipe = recipe_switch.PLAIN.model_copy(update={"learning_rate": 1e30})
    validation, test = accuracies(Case(NetworkSpec(recipe_switch.BASE, 32), recipe, 1, 1, "digits"))
    assert validation == test
    assert 5 < test < 15
