"""What tests of the pipeline share."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _without_onnx(without_onnx):
    """No test here looks at the ONNX files of networks."""


def _forget_finals(store, *, teacher=False):
    """Take a finished run back to before its final trainings."""
    with store._writing() as execute:
        execute("DELETE FROM trials WHERE purpose = 'final'")
        execute("DELETE FROM results")
    if teacher:
        store.facts.teacher = None


def _change_option(store, name, value):
    """Store another value of an option, as if the run had been made with it."""
    with store._writing() as execute:
        execute("UPDATE config SET value = ? WHERE key = ?", (value, name))


@pytest.fixture(scope="session")
def forget_finals():
    """Give the function above."""
    return _forget_finals


@pytest.fixture(scope="session")
def change_option():
    """Give the function above; it takes the value as JSON text."""
    return _change_option
