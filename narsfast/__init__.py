"""Small, accurate vision networks together with the recipe that trains them, for many budgets from one run."""

__version__ = "0.1.0"
