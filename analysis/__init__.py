"""From a run's folder to numbers and pictures. Knows the results' schema (docs/results.md) and nothing else."""
