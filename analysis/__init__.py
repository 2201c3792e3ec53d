"""From a run's folder to numbers and pictures. Knows `record/` and nothing else: a figure can always be drawn again.

The files here are commands:

    summary      one run, or many on a page: metrics.json, timeline.parquet, summary.png
    compare      which arm is better: comparison.json, comparison.png
    regimes      who wins where, over two keys; storm_map: where a retry storm begins
    plan         how many pairs of which length would show an effect
    boards       the pictures of Grafana's boards

and the folders subjects: `metrics/` (one run in numbers), `comparison/` (many runs to a verdict), `pages/` (pictures),
`calibration/` (how often the comparison is right), `distributions/` (probabilities and quantiles). Begin with
`metrics.table.compute`.
"""

from record import environment

environment.check(__name__, "pandas")
