"""Tests of analysis/: made-up runs with known truths."""
