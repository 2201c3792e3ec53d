"""From one run to its numbers. No comparison of runs, and no pictures.

Begin with `table.compute`, which asks all others and makes `metrics.json`; `timeline.build` makes the rows a second
that it rests on.

    validity      whether the instrument worked; `cautions`: what to know of a valid run
    recovery      how fast faults were noticed and over; `harm`: whether they did any
    scaling       how well a scaler did, by the demand and beside hindsight
    floor         what a dispatcher that knows all would have reached; `capacity`: what each replica could do when
    ground_truth  a run without a router against theory, exactly by `queueing` and in closed form
    tier          what the calls of a second tier came to
    stationarity  whether the run had settled
    verdict       the run in one line and in a short table
    storm         whether a fleet comes back after a trigger, over the runs of a map
"""
