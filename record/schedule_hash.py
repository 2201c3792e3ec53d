"""The name of a schedule: equal hashes, equal load."""

import hashlib

import numpy as np
import pandas as pd


def schedule_hash(schedule: pd.DataFrame) -> str:
    """SHA-256 over the values (microseconds as integers), whatever the file's bytes are.

    Args:
        schedule: `request_id`, `scheduled_s`, `demand_s` (numbers) and `key`, in the order of its rows.
    """
    digest = hashlib.sha256()
    digest.update(schedule["request_id"].to_numpy(dtype="<i8").tobytes())
    for column in ("scheduled_s", "demand_s"):
        digest.update(np.round(schedule[column].to_numpy() * 1e6).astype("<i8").tobytes())
    digest.update("\n".join(schedule["key"].astype(str).to_numpy(dtype=object)).encode())
    return digest.hexdigest()
