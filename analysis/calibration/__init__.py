"""How often the comparison is right: simulated experiments with a known truth, none of them measured.

`python -m analysis.calibration --output calibration.md` does them all; `cells` counts and holds the targets.

    latency    intervals and verdicts on latency, on runs and on the system, fixed and sequential
    failures   where requests are lost
    families   many comparisons at once
    queues     the simulated queues; `runs` makes of them what the comparison reads
"""
