"""The panels of a run's page, one a file."""
