"""Tabular datasets: files of finished trainings, from which predictors and searches learn without training anything."""
