"""Wakes the dispatcher at exact moments.

gevent's own timers end in epoll's timeout, which counts whole milliseconds: a plain sleep is 0.6 to 0.9 ms late.
Yielding until the moment has come is exact, but keeps a core busy that the system under test needs, and while it
yields, answers lie unread. A timerfd is exact and costs one system call (timerfd_create(2), Linux).
"""

import ctypes
import os
import time

import gevent
from gevent import get_hub

CLOCK_MONOTONIC = 1
TFD_NONBLOCK = 0o4000
TFD_TIMER_ABSTIME = 1
READ = 1
SLACK_NS = 1000
PR_SET_TIMERSLACK = 29
"""linux/prctl.h; by default the kernel may add 50 us to a thread's timers."""


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", ctypes.c_long * 2), ("value", ctypes.c_long * 2))


class Alarm:
    """Sleeps until moments of `time.monotonic`; where there is no timerfd (macOS), with gevent's timers."""

    def __init__(self, *, exact: bool = True) -> None:
        """`exact=False` takes gevent's timers anywhere."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._create() if exact else -1
        if self._fd >= 0:
            self._readable = get_hub().loop.io(self._fd, READ)
            self._spec = _Itimerspec()

    def _create(self) -> int:
        try:
            self._libc.prctl(PR_SET_TIMERSLACK, SLACK_NS, 0, 0, 0)
            return int(self._libc.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK))
        except AttributeError:
            return -1

    def until(self, moment: float) -> None:
        """Return at `moment`, a little late at most; at once where it is past."""
        if self._fd < 0:
            gevent.sleep(max(0.0, moment - time.monotonic()))
            return
        if moment <= time.monotonic():
            return
        nanoseconds = int(moment * 1e9)
        self._spec.value[0], self._spec.value[1] = divmod(nanoseconds, 1_000_000_000)
        self._libc.timerfd_settime(self._fd, TFD_TIMER_ABSTIME, ctypes.byref(self._spec), None)
        get_hub().wait(self._readable)

    def close(self) -> None:
        """Give the timer back."""
        if self._fd >= 0:
            self._readable.close()
            os.close(self._fd)
