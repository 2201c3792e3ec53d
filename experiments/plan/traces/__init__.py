"""Requests as they were recorded: `workload.trace=FILE` (docs/traffic.md).

    reading.read(file, from_s, for_s) -> Recorded     a window of a file, row by row as it stands there
    scaling.played(recorded, ...) -> (times, rows)    faster or slower, more or fewer, again and again

Which keys of a configuration follow from a trace stands in `experiments/plan/of_trace.py`.
"""
