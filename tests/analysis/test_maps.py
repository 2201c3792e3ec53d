"""Maps: a winner only where there is one, and cells whose runs do not agree say so."""

import json

import numpy as np
import pytest

from analysis.comparison.compared import BY_KEY
from analysis.metrics.storm import edge_rps, outcome, told, verdict
from analysis.regimes import draw, main, regimes
from tests.analysis import synthetic

pytestmark = pytest.mark.slow

EVEN = synthetic.even_requests()


def a_map(folder, latency_s, seeds=4):
    """Two policies over two by two cells; `latency_s(policy, x, y, seed)`."""
    job = 0
    for seed in range(seeds):
        for x in (2, 4):
            for y in (0.1, 0.2):
                for policy in ("a", "b"):
                    config = {"policy": {"name": policy}, "replicas": x, "router": {"health": {"interval_s": y}}}
                    requests = synthetic.even_requests(latency_s=latency_s(policy, x, y, seed))
                    synthetic.write(folder / str(job), requests, about=synthetic.manifest(seed=seed, config=config))
                    job += 1
    return folder


def test_a_cell_is_won_equivalent_or_undecided(tmp_path, capsys):
    rng = np.random.default_rng(1)

    def latency_s(policy, x, y, seed):
        base = 0.1 + 0.001 * seed
        if x == 2:
            return base * (0.5 if policy == "a" else 1) * (1 + 0.001 * seed)  # a wins
        return base if y == 0.1 else base * rng.uniform(0.7, 1.4)  # the same; scattered

    assert main([str(a_map(tmp_path, latency_s)), "--x", "replicas", "--y", "router.health.interval_s"]) == 0
    cells = {(c["x"], c["y"]): c for c in json.loads((tmp_path / "regimes.json").read_text())["cells"]}
    assert [cells[2, 0.1][key] for key in ("state", "best", "others", "worse")] == ["winner", "a", [], ["b"]]
    assert cells[4, 0.1]["state"] == "equivalent"
    assert cells[4, 0.2]["state"] == "undecided" and len(cells[4, 0.2]["others"]) == 1
    printed = capsys.readouterr().out
    assert "replicas=2, router.health.interval_s=0.1: a" in printed
    assert "equivalent (" in printed and "undecided (" in printed


def test_a_winner_is_found_among_few_cells_and_not_among_many(tmp_path):
    # The same data in each cell: what one comparison calls clear is not clear as one of many.
    values = {"a": [0.1, 0.1, 0.1, 0.1], "b": [0.107, 0.116, 0.109, 0.119]}
    runs = []
    for cell in range(36):
        for policy, latencies in values.items():
            for seed, latency in enumerate(latencies):
                folder = tmp_path / f"{cell}-{policy}-{seed}"
                config = {"policy": {"name": policy}, "replicas": cell, "router": {"health": {"interval_s": 0.1}}}
                synthetic.write(folder, synthetic.even_requests(latency_s=latency), about=synthetic.manifest(seed=seed, config=config))
                runs.append(folder)
    from analysis.comparison.gathering import read_runs

    few = regimes(read_runs(runs[:8]), "replicas", "router.health.interval_s")
    many = regimes(read_runs(runs), "replicas", "router.health.interval_s")
    assert [cell.state for cell in few] == ["winner"]
    assert {cell.state for cell in many} == {"undecided"}
    draw(many, "replicas", "router.health.interval_s", BY_KEY["latency_p99_ms"], tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_a_cell_of_the_storm_map_that_do_not_agree_are_told():
    assert told([0.62, 0.63, 0.64]) == "63%"
    assert told([0.0, 0.9, 0.96]) == "62%\n0% to 96%"


@pytest.mark.parametrize("shares", [[0.5], [0.5, 0.55]])
def test_runs_that_agree_are_one_figure(shares):
    assert "\n" not in told(shares)


def test_the_edge_of_a_retry_storm_is_capacity_over_attempts():
    config = {
        "replicas": 10,
        "replica": {"concurrency": 1, "speeds": []},
        "workload": {"demand": {"mean_ms": 100}},
        "router": {"retry": {"max_attempts": 3}},
    }
    assert edge_rps(config) == pytest.approx(100 / 3)  # Bronson et al., HotOS 2021: a third of the capacity


def test_the_map_says_in_a_sentence_where_a_fleet_does_not_come_back():
    assert [outcome(shares) for shares in ([0.95, 1.0], [0.2, 0.95], [0.0, 0.89])] == ["back", "either", "not back"]
    told_of = verdict({(20, 5): [1.0, 1.0], (35, 5): [0.1, 0.99], (40, 5): [0.0, 0.1]}, 100 / 3)
    assert "Of 3 cells the fleet comes back in 1, and not in 1; in 1 that is a matter of the seed" in told_of
    assert "The lowest load that does not always come back is 35 requests/s; theory has the edge at 33.3." in told_of
