"""The one exception for mistakes of the user."""


class UserError(ValueError):
    """A mistake in what the user gave: one sentence that names the field, the value and the remedy.

    The command line prints the sentence without a traceback and exits with 1.
    """
