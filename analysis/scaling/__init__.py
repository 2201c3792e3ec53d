"""How many replicas were needed, beside how many there were. Pure, and no runs: arrays and numbers.

    demand        how many replicas a rate needs, by a measured curve or by Erlang's formula
    elasticity    how the supply followed that: SPEC's metrics; `needs`: how long each need stood open
    hindsight     the best schedule for whoever knows the whole course, and what another one cost beside it
"""
