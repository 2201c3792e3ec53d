"""A refusal: what a log cannot tell, and what to collect instead."""

from typing import Literal

Kind = Literal["too_little", "no_durations", "coarse_clock", "nobody_waited", "not_a_queue", "hosts_differ", "hold_out"]


class FitRefused(Exception):
    """No fleet is fitted; one line that says why, and one that says what would help."""

    def __init__(self, kind: Kind, reason: str, collect: str) -> None:
        """`kind` is for programs, the others for people."""
        super().__init__(f"{reason}; {collect}")
        self.kind: Kind = kind
        self.reason = reason
        self.collect = collect
