"""From many runs to a verdict. It draws nothing.

Begin with `comparison.compare_questions`: runs become arms (`arms`), arms that were asked the same a question
(`questions`), arms of a question pairs of runs of one seed, pairs an effect for each metric of `compared`, effects
verdicts (`verdicts`), and verdicts sentences (`text`, `notes`).

    effects            ratio or difference on runs of their length; `counts`: of shares that are counted
    system_effects     the same of the system in the long run, by `system_quantiles` and `pooled`
    over_runs          one arm's runs without a reference: a mean and an interval
    best_arms          which of several arms are best
    over_workloads     arms by their ranks under each of several workloads
    values             values of metrics in words
    front              scalers on cost and broken promises, and which none is better than in both
    gathering          from folders to runs, arms and a comparison with its headlines
    statistics         intervals and families; `sign_flips`: tests without a distribution
    sequential         looks at a sweep while it grows; `planned`: what its runs say was set before
    outlying, pairing, advice, run_time   runs that stand apart, what pairing is worth, what would decide, and how long
    replay_check       a run against repeats of it
"""
