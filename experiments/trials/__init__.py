"""Arms over a suite of pathologies, measured in parts: what `experiments.evidence` does, up to the folders it leaves.

    arms          what is typed for an arm
    suites        what is typed for a suite, and the sizes of a fleet
    times         a pathology's times in a run of another length, equal for all arms
    planning      from both to jobs, and what cannot be asked
    measuring     the jobs, one after the other or a few at once, each as often as its instrument asks for
    grids         what tuning may try
    tuning        the same number of tries for each arm, on seeds of their own
"""
