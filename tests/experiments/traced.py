"""Made-up traces, and what is planned with them."""

import gzip
import heapq
import os
from pathlib import Path

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir

from experiments.plan import store
from experiments.plan.resolve import resolve
from experiments.plan.schedule import build_schedule
from experiments.plan.workload import WorkloadSettings
from tests.running import ROOT

TRACES = os.environ.get("AEGIS_TRACES")
"""A folder with public traces."""
ROWS = pd.DataFrame(
    {
        "scheduled_s": [0.5, 1.25, 1.25, 4.0],
        "demand_s": [0.1, 0.2, 0.0, 0.3],
        "key": ["a", "b", "a", "c"],
        "method": ["GET", "POST", "GET", "POST"],
        "size": [0, 10, 0, 2000],
        "status": [200, 200, 500, 200],
    }
)


def written(folder, name, rows=ROWS):
    """A file of that kind; its path as text."""
    path = folder / name
    plain = name.lower().removesuffix(".gz")
    if plain.endswith(".parquet"):
        rows.to_parquet(path, row_group_size=2)
        return str(path)
    text = rows.to_csv(index=False) if plain.endswith(".csv") else rows.to_json(orient="records", lines=True)
    if "crlf" in name:
        text = text.replace("\n", "\r\n")
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return str(path)


def built(file, seed=1, **changes):
    return build_schedule(WorkloadSettings(**{"trace": file, "duration_s": 100.0, "warmup_s": 0.0, **changes}), seed)


def planned(*overrides):
    return of_words(["+scenario=routed", *overrides])


def of_words(words):
    store.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return resolve(compose("config", overrides=words), words)


def code_trace():
    """Azure LLM inference trace 2023, code (CC-BY 4.0, Microsoft; Splitwise, ISCA 2024): 0.2 ms of demand a context
    token and 20 ms a generated one."""
    asked = pd.read_csv(Path(TRACES) / "azure-llm-2023-code.csv", parse_dates=["TIMESTAMP"])
    since = (asked["TIMESTAMP"] - asked["TIMESTAMP"].iloc[0]).dt.total_seconds()
    return pd.DataFrame(
        {"scheduled_s": since, "demand_s": 0.0002 * asked["ContextTokens"] + 0.02 * asked["GeneratedTokens"]}
    )


def kiefer_wolfowitz(arrivals, demands, servers):
    """Sojourns in FIFO order (Kiefer and Wolfowitz, Trans. AMS 78, 1955), seconds."""
    free, sojourns = [0.0] * servers, []
    for arrival, demand in zip(arrivals, demands, strict=True):
        end = max(arrival, heapq.heappop(free)) + demand
        heapq.heappush(free, end)
        sojourns.append(end - arrival)
    return np.array(sojourns)
