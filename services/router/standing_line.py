"""Whether more stand in line than a fleet gets done: overload told from chance. Pure: it is told the time.

By Little's law (Operations Research 9, 1961) those who stand in line, over the answers a second, are the time that the
next one will stand there. So it is longer than a bound where more stand in line than have been answered within the
bound's last seconds: a comparison of two counts, which grow alike with the fleet, its speed and its load.

A long line alone is no reason to refuse anybody. Either it stays: it was longer than the bound each time somebody
came, for as long as the bound (as a standing queue in CoDel, RFC 8289); who comes then will be late, and make others
late. Or it grows as chance hardly makes it grow, and a fleet that were a tenth faster would have a long line, too: a
CUSUM (Page, Continuous inspection schemes, Biometrika 41, 1954) on arrivals less answers. At a utilisation of u a line
is longer than n about u^n of the time, that of the faster fleet (u / 1.1)^n.

The line is then held at half the bound, where all who are let in are in time, and let alone again once it has been
shorter than a quarter, or slots have had nobody who waits for them, for as long as the bound. The shares were found by
simulation (docs/failure_handling.md).
"""

import math
from typing import Final

SPARE: Final = 1.1
"""The fleet that is compared with does so many times as much."""
GROWN: Final = 0.6
"""A line has grown too fast where that of the faster fleet has this share of the bound,"""
LONG: Final = 0.75
"""it has this share itself,"""
CHANCE: Final = 0.1
"""and at full utilisation it would be so long with no more than this chance, whatever the size of the fleet."""
SURE: Final = -math.log(CHANCE) / math.log(SPARE)
"""So many in line at the faster fleet."""
UNAWAITED: Final = 0.1
"""Where more than this share of the answers leave a slot for which nobody waits, there are slots, and who stands in
line was sent to the wrong replica: of a fleet in overload next to none do."""
HELD: Final = 0.5
"""Share of the bound that a line may have in an overload."""
OVER: Final = 0.25
"""Below this share of the bound, for as long as it, an overload is over."""
BINS: Final = 16
"""Parts in which the bound's time goes by."""


class StandingLine:
    """Who may still come to a line."""

    def __init__(self, bound_s: float) -> None:
        """`bound_s`: how long one may have to stand in it, seconds, above 0."""
        self._bound_s = bound_s
        self._bin_s = bound_s / BINS
        self._counts = [0] * BINS
        self._alone = [0] * BINS
        self._bin = 0
        """Of the latest answer or question, counted from the clock's 0."""
        self._answered = 0
        """The sum of `_counts`: the answers of the last `bound_s`, or up to a sixteenth less."""
        self._unawaited = 0
        """Of them, likewise, those of replicas where nobody stood in line for the slot."""
        self._began: float | None = None
        """Since when somebody stands in line; None: nobody does."""
        self._spare = 0.0
        """How many would at a fleet that were faster."""
        self._is_long = False
        """Whether it was too long when the last one came."""
        self._long_since = self._long_at = 0.0
        """Since when it has been, without a break; and when it was last an overload's, held: longer than `OVER`."""
        self.is_held = False
        """Whether it is an overload."""

    def on_answer(self, now: float, *, is_awaited: bool = True) -> None:
        """Somebody was served, and the slot is that of another one who waits for it, unless not `is_awaited`."""
        self._pass_time(now)
        self._counts[self._bin % BINS] += 1
        self._answered += 1
        if not is_awaited:
            self._alone[self._bin % BINS] += 1
            self._unawaited += 1
        self._spare = max(0.0, self._spare - SPARE)

    def admits(self, length: int, now: float) -> bool:
        """Whether one more may come, with whom so many stand in line; not positive: there is none."""
        if length <= 0 and not self.is_held:
            self._began, self._is_long, self._spare = None, False, 0.0
            return True
        self._pass_time(now)
        done, bound_s = self._answered, self._bound_s
        if self.is_held:
            if length > OVER * done and self._unawaited <= UNAWAITED * done:
                self._long_at = now
            elif now - self._long_at >= bound_s:
                self.is_held = self._is_long = False
                self._began, self._spare = None, 0.0
            return not self.is_held or length <= HELD * done
        if self._began is None:
            self._began = now
        self._spare += 1
        if length > done:
            if not self._is_long:
                self._is_long, self._long_since = True, now
        else:
            self._is_long = False
        spare, stays = self._spare, self._is_long and now - self._long_since >= bound_s
        if stays or (
            spare > GROWN * done and spare > SURE and length > LONG * done and now - self._began >= bound_s
        ):
            self.is_held = self._unawaited <= UNAWAITED * done
        self._long_at = now
        return not self.is_held

    def _pass_time(self, now: float) -> None:
        """Forget what was answered before the last `bound_s`."""
        at = int(now // self._bin_s)
        if at == self._bin:
            return
        if at - self._bin > BINS / 2:  # nobody came or was answered: the router stood still, or had nothing to do
            self._began, self._is_long, self._spare = None, False, 0.0
        for bin_ in range(max(self._bin + 1, at - BINS + 1), at + 1):
            place = bin_ % BINS
            self._answered -= self._counts[place]
            self._unawaited -= self._alone[place]
            self._counts[place] = self._alone[place] = 0
        self._bin = max(self._bin, at)
