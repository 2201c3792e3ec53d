"""What happens between a router and its replicas on a network: a TCP relay that loses, holds and delays their bytes.

Needs no rights that a user does not have. `python -m experiments.relay` is started by runs with such a fault, and by
no other; what it does to a path is in `connections`, what membership does on its way in `propagation`. Both follow
`faults`, which the simulator plays too. It knows nothing of runs.
"""
