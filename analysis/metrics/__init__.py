"""From one run to its numbers. No comparison of runs, and no pictures.

Begin with `table.compute`, which asks all others and makes `metrics.json`; `timeline.build` makes the rows a second
that it rests on.

    validity      whether the instrument worked; `cautions`: what to know of a valid run
    recovery      how fast faults were noticed and over; `harm`: whether they did any
    floor         what a dispatcher that knows all would have reached; `capacity`: what each replica could do when
    ground_truth  a run without a router against theory, by the formulas of `queueing`
    stationarity  whether the run had settled
    verdict       the run in one line and in a short table
    storm         whether a fleet comes back after a trigger, over the runs of a map
"""
