"""The system under test: router, manager and backend. Nothing here knows of experiments/ or analysis/."""
