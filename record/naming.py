"""What a sweep's folders are called: they begin with what differs, and end with the job's number, which orders them.

`policy=peak_ewma,seed=1,job=3`. Sweeps of before, and those of Hydra's own sweepers, have the number alone.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

NUMBERED = re.compile(r"(?:^|,job=)(\d+)$")
UNFIT = re.compile(r"[^A-Za-z0-9._=,+-]+")
"""What a name has not: it is typed in shells, and stands in Hydra's overrides and in URLs."""
MOST_CHARACTERS = 100
"""Of what differs: the narrowest file systems in use take 143 (eCryptfs), most 255."""


def job_folder(differs: Sequence[str], seed: int, number: int) -> str:
    """The name of a job's folder.

    Args:
        differs: the job's overrides as far as not all jobs have them; too many are cut, and told apart by a hash.
        seed: the job's.
        number: the job's, unique in its sweep.
    """
    told = ",".join(UNFIT.sub("-", re.sub(r"[\[\]{}()\s'\"]", "", text.lstrip("+~"))) for text in differs)
    if len(told) > MOST_CHARACTERS:
        digest = hashlib.sha256(told.encode()).hexdigest()[:6]
        told = f"{told[: MOST_CHARACTERS - 7]}-{digest}"
    return ",".join([*([told] if told else []), f"seed={seed}", f"job={number}"])


def number_of(name: str) -> int | None:
    """The number of the job in a folder of that name; None where it has none."""
    match = NUMBERED.search(name)
    return None if match is None else int(match[1])


def by_number(sweep: Path) -> dict[int, Path]:
    """The folders of a sweep's jobs, in their order."""
    folders = {number_of(path.name): path for path in sorted(sweep.iterdir()) if path.is_dir()}
    return {number: path for number, path in sorted((n, p) for n, p in folders.items() if n is not None)}
