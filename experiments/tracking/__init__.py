"""Runs in MLflow, from their folders; `python -m experiments.tracking`."""
