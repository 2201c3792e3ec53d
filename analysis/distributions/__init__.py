"""Probabilities and quantiles of the distributions that intervals and tests here rest on. No data, and no verdicts.

    student         Student's t: two-sided p, quantile
    beta            the beta distribution (regularised incomplete beta function): both tails, quantile
    discrete        tails of the binomial and of the hypergeometric distribution
    normal          tails of the standard normal one
    saddle_point    binomial probabilities to the last digits, on which the others rest
    queues          closed forms of Markovian queues: waiting, sojourn, blocking
    roots           where a function of one variable is zero

Our own, since SciPy is a quarter of what the core would install and takes seconds to import; held against
it, and against printed tables, in `tests/analysis/test_distributions.py`. Functions of numbers, not of arrays: the
unit of all statistics here is the run, of which there are few.
"""
