"""Ways to run the system under test, one a file: `mine.py` has a class with `name = "mine"`, chosen by `engine=mine`.

What the class must have stands in `experiments.plan.engines.Engine`. What several share lies elsewhere: processes and
containers in `experiments.live`, virtual time in `experiments.simulator`.

    name, is_virtual, most_replicas, most_requests, cleanup    what it is, and how much it takes
    check(config)                                              what it cannot do, and keys that it does not read
    check_here(config)                                         what this machine lacks for it
    create(config, faults, recorder, progress)                 the run, whose `run(companion)` does it
"""
