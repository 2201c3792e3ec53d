"""A fitted fleet in the simulator: against the half of the log that it has not seen, and as overrides of a run.

`analysis/fitting/` fits; `judging` plays what was fitted to the first half against the second one; `written` writes
what others play again; `made_up` makes systems whose truth is known, by which the fit is calibrated; `live` runs
them live, and `pairs` are two of them, by which what-ifs are.
"""
