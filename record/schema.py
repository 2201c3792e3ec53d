"""The version of the results' schema (docs/results.md): raised when a reader of the old files would misread the new."""

VERSION = 2
READ = (1, 2)
"""Versions whose folders are read. The runner's files mean the same in both; of 1 only `metrics.json` and
`timeline.parquet`, which are made anew here, had other meanings."""
