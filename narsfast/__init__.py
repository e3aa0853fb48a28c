"""Small, accurate vision networks and the recipes that train them, for many budgets from one run."""

__version__ = "0.1.0"
