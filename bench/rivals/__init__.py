"""Searches beside which ours is timed, all with one predictor on one space."""
