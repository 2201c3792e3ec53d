"""The version of the results' schema (docs/results.md): raised when a reader of the old files would misread the new."""

VERSION = 1
