"""Results that are kept by what the arguments hold: runs of a sweep have most of their configuration in common."""

import pickle
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

MOST = 256

P = ParamSpec("P")
T = TypeVar("T")


def by_content(function: Callable[P, T]) -> Callable[P, T]:
    """The function with its last `MOST` results; arguments may be dictionaries and lists, and results are shared.

    They are told apart as they are pickled: values that are equal and of different types are different ones.
    """

    @lru_cache(maxsize=MOST)
    def of(pickled: bytes) -> T:
        positional, named = pickle.loads(pickled)
        return function(*positional, **named)

    @wraps(function)
    def kept(*args: P.args, **kwargs: P.kwargs) -> T:
        return of(pickle.dumps((args, kwargs)))

    return kept
