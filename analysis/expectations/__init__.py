"""What a run is expected to show (`expect='[latency_p99_ms < 300]'`), and whether it did: thresholds for pipelines.

Begin with `grammar.parse`, then `judging.hold`. A number is held against the measured value, as k6 does; a bound on the
difference from a reference is decided by the interval of the comparison. Nothing here measures or compares:

    grammar    what can be said, and the line on what cannot; light, the configuration asks it
    of_arm     the value of any metric over the runs of an arm, with its interval
    judging    met, not met, or cannot be said, with the reason
    report     the table, `expectations.json`, and `junit` for pipelines
"""
