"""Whole runs, as a user starts them: real processes, real Locust, MLflow, DVC and browsers."""
