"""What a process needs of its own machine for a connection: how much it may have, and whether it has run out."""

import contextlib
import errno
import resource

OWN = {
    number: errno.errorcode[number]
    for number in (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM)
}
"""What the kernel says where a connection failed for want of something here: descriptors of the process or the machine,
local ports, memory. It says nothing of the peer, who was not asked (Envoy tells local-origin errors apart, too)."""
NO_DESCRIPTOR = frozenset({"EMFILE", "ENFILE"})
"""Of those: closing another connection helps."""
NO_PORT = "EADDRNOTAVAIL"
"""Of those: no local port is left towards one address; towards another one there may be (ip(7))."""
UNLIMITED = 1 << 20
"""What "no limit" means: Linux gives a process no more by default (fs.nr_open, proc_sys_fs(5))."""
MACOS_MOST = 10_240
"""macOS tells no hard limit, and refuses more than this (OPEN_MAX in its <sys/syslimits.h>)."""


def raise_limit() -> int:
    """Raise the soft limit of open descriptors to the hard one, as Go's runtime does since 1.19; returns the new one.

    The soft one is 1,024 nearly everywhere, for the sake of programs that use select(2); a proxied request needs two.
    It is never lowered. Children inherit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft in (hard, resource.RLIM_INFINITY):
        return _number(soft)
    for most in (hard, MACOS_MOST):
        if most == resource.RLIM_INFINITY or most > soft:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
                return _number(most)
    return soft


def _number(limit: int) -> int:
    """A limit that one can count with: RLIM_INFINITY is -1 in Python."""
    return UNLIMITED if limit == resource.RLIM_INFINITY else limit


def own_fault(error: BaseException | None) -> str | None:
    """The name of what has run out here (`EMFILE`, ...) where that is what an exception comes from; else None."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        number = getattr(error, "errno", None)
        if number in OWN:
            return OWN[number]
        error = getattr(error, "os_error", None) or error.__cause__
    return None
