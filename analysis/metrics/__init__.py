"""From one run to its numbers: metrics, validity, recovery, ground truth. No comparison of runs."""
