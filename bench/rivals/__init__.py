"""Searches that ours is compared with, all with the same predictor on the same space."""
