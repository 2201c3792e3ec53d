"""The name of a schedule: equal hashes, equal load."""

import hashlib

import numpy as np
import pandas as pd

from record.schema import CLASS, METHOD, SIZE


def schedule_hash(schedule: pd.DataFrame) -> str:
    """SHA-256 over the values (microseconds as integers), whatever the file's bytes are.

    Args:
        schedule: `request_id`, `scheduled_s`, `demand_s` (numbers), `key`, and `method`, `class` and `size` if it has
            them, in the order of its rows.
    """
    digest = hashlib.sha256()
    digest.update(schedule["request_id"].to_numpy(dtype="<i8").tobytes())
    for column in ("scheduled_s", "demand_s"):
        digest.update(np.round(schedule[column].to_numpy() * 1e6).astype("<i8").tobytes())
    for column in ("key", *(name for name in (METHOD, CLASS) if name in schedule)):
        digest.update("\n".join(schedule[column].astype(str).to_numpy(dtype=object)).encode())
    if SIZE in schedule:
        digest.update(schedule[SIZE].to_numpy(dtype="<i8").tobytes())
    return digest.hexdigest()
