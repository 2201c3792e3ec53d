"""A file of numbers, one a line: a curve of rates, or observed demands."""

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = 10_000_000
"""Lines."""


def numbers(file: str, key: str) -> "NDArray[np.float64]":
    """The numbers of a file, 0 or more, at least one of them above 0; shape (n,), in the order of its lines.

    Empty lines, and lines that begin with #, are passed over. A file that stays as it is is read once.

    Args:
        file: text.
        key: that names it, for the errors.

    Raises:
        ValueError: `key=file: ...`, in one line.
    """
    if not file:
        raise ValueError(f"{key}={file}: must be a file with one number a line")
    try:
        about = Path(file).stat()
        return _numbers(file, about.st_mtime_ns, about.st_size)
    except FileNotFoundError:
        raise ValueError(f"{key}={file}: there is no such file") from None
    except OSError as error:
        raise ValueError(f"{key}={file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise ValueError(f"{key}={file}: is no text") from None
    except ValueError as error:
        raise ValueError(f"{key}={file}: {error}") from error


@lru_cache(8)
def _numbers(file: str, _changed_ns: int, _size: int) -> "NDArray[np.float64]":
    import numpy as np

    found = []
    with Path(file).open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not 0 <= value < math.inf:
                raise ValueError(f"line {number} is {text[:20]}: must be one number, 0 or more")
            found.append(value)
            if len(found) > MOST:
                raise ValueError(f"has more than {MOST:,} numbers")
    if not any(found):
        raise ValueError("has no number above 0")
    return np.array(found)
