"""What a fleet of so many replicas stands: the parts of `experiments.capacity`.

    settings   the keys capacity.*, and the overrides of each number of replicas
    kept       the folder that probes are kept in, so that none is made twice
    probes     one probe: a run at a rate, live or simulated
    written    the file that comes of it, its table and its picture

The search itself, and when a rate meets the objective, is `analysis/scaling/searching.py`.
"""
