"""Whether a proxy's decisions are those of the policy that it says it has: what `experiments.conformance` is made of.

    seen.py       what is known of each decision from outside: who was picked, and moments between two bounds
    run.py        that of a run's folder; `log.py`: of a proxy's access log
    worlds.py     policies with a memory (rotations, ties): every order that the stamps allow is replayed
    chances.py    policies that draw: the picks against the chances of each state
    judging.py    which of the two, and what comes of it
    exact.py      Aegis' own router, which can write down what it decides: the very policy object decides again
    modelled/     proxies in virtual time, right and with a bug each, by which the instrument itself is measured

What a policy is to do stands in `experiments/references/`, one a file.
"""
