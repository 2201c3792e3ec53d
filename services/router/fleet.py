"""What the router knows of its replicas: leases, health, passive ejection, and who may be picked now.

Plain objects, no I/O: every method is told the time (seconds on a monotonic clock).
"""

from collections.abc import Callable, Collection, Sequence
from typing import Literal

from services.router.policy import Outcome
from services.router.replica import Replica, may_work
from services.router.settings import TICK_S, EjectionSettings, HealthCheckSettings
from services.router.work import Departed

ROUNDING = 1e-6
"""0.29 * 100 is 28.999999999999996, and 29 of 100 replicas are no more than a share of 0.29. Larger than what products
of that size are off by, smaller than what a share is written with."""
NOBODY_LISTENS = "refused"
"""The reason of an attempt whose connection was refused: nobody listens at the replica's address."""
REASONS = 32
"""Reasons for a pick that are counted by name; what a policy of one's own says beyond them is `other`."""
Emit = Callable[..., None]
"""Called as `emit(event, replica_id, now, **detail)`."""


def most_ejected(max_share: float, count: int) -> int:
    """How many of `count` replicas may be ejected passively at a time: all that fit into the share, and always one."""
    return max(1, int(max_share * count + ROUNDING))


class NotOwnerError(Exception):
    """Another process has the id now; the text says where it is."""


class Fleet:
    """The replicas, and what changes their state."""

    def __init__(self, health: HealthCheckSettings, ejection: EjectionSettings, emit: Emit) -> None:
        """`emit` hears of every change of membership or rotation."""
        self._health = health
        self._ejection = ejection
        self._emit = emit
        self.replicas: dict[str, Replica] = {}
        self.picks: dict[str, int] = {}
        """Attempts by why the policy picked their replica."""
        self._rotation: tuple[Replica, ...] | None = None
        """Who may be picked; None = to be found out, something changed."""
        self._in_rotation: set[int] = set()
        self._slots: int | None = None
        self.panics = False
        """Whether the checks are ignored: so many fail that they, or the way to the replicas, may be what is broken."""
        self._departed = Departed()
        self._ticked: float | None = None
        self.watch: Callable[[str], None] = lambda _: None
        """Called with the id of a replica whose health is to be checked from now on."""
        self.left: Callable[[str], object] = lambda _: None
        """Called with the id of one that leaves the rotation by no event of its own: a panic is over."""
        self.turned: Callable[[float], None] = lambda _: None
        """Called with the time when the rotation may have changed, and at every tick: for those who wait for a slot."""

    # -- membership

    def put(
        self,
        id_: str,
        now: float,
        *,
        url: str | None = None,
        admin_url: str | None = None,
        weight: float | None = None,
        concurrency: int | None = None,
        state: Literal["ready", "draining"] | None = None,
        lease_s: float | None = None,
        cpu_s: float | None = None,
    ) -> bool:
        """Register, renew or change a replica; what is not given stays. Returns whether it is new.

        A known replica at the same address keeps everything that is known of it; at another address it is new. One
        that is registered (a `url`) without a lease does not expire.

        Raises:
            KeyError: it is unknown, and there is no url.
            NotOwnerError: another process, at another address, has this id now: only a registration (with `state`
                ready, or without a lease) may take it over, no renewal and no farewell.
        """
        replica = self.replicas.get(id_)
        moves = replica is not None and url is not None and url != replica.url
        if moves and (state == "draining" or (lease_s is not None and state is None)):
            raise NotOwnerError(f"{id_} is registered at {replica.url}")  # type: ignore[union-attr]
        is_new = replica is None or moves
        if is_new:
            if url is None:
                raise KeyError(id_)
            if replica is not None:
                self._part_from(replica, now, works_on=replica.draining)
            replica = self.replicas[id_] = Replica(id_, url)
            self._rotation = None
            self._emit("registered", id_, now, url=url)
        assert replica is not None
        replica.admin_url = admin_url if admin_url is not None else replica.admin_url
        replica.weight = weight if weight is not None else replica.weight
        if concurrency is not None and concurrency != replica.concurrency:
            replica.pass_time(now)
            replica.concurrency = replica.slots = concurrency
            self._rotation = None
        if cpu_s is not None:
            replica.cpu_s, replica.cpu_at = cpu_s, now
        if lease_s is not None:
            replica.lease_s, replica.lease_until = lease_s, now + lease_s
        elif url is not None:
            replica.lease_until = None
        if state == "draining" and not replica.draining:
            replica.draining = True
            self._turned(replica, now)
            self._emit("draining", id_, now, in_flight=replica.in_flight)
        elif state == "ready" and replica.draining:
            replica.draining, replica.healthy, replica.passes = False, None, 0
            self._turned(replica, now)
            self._emit("registered", id_, now, url=replica.url)
            self._examine(replica, now)
        if is_new:
            self._examine(replica, now)
        if self._rotation is None:
            self._look_around(replica, now)
            self.turned(now)
        return is_new

    def _examine(self, replica: Replica, now: float) -> None:
        """Have a replica that nothing is known of checked; where nobody is, it is taken at its word."""
        if self._health.enabled:
            self.watch(replica.id)
        elif not replica.draining:
            replica.healthy = True
            self._turned(replica, now)
            self._emit("readmitted", replica.id, now, cause="unchecked")

    def remove(self, id_: str, now: float, url: str | None = None) -> bool:
        """Forget a replica; False where it is unknown.

        Raises:
            NotOwnerError: it is at another address than `url`.
        """
        replica = self.replicas.get(id_)
        if replica is None:
            return False
        if url is not None and url != replica.url:
            raise NotOwnerError(f"{id_} is registered at {replica.url}")
        del self.replicas[id_]
        self._part_from(replica, now, works_on=True)
        self._emit("drained" if replica.draining else "removed", id_, now, in_flight=replica.in_flight)
        self._look_around(replica, now)
        self.turned(now)
        return True

    def tick(self, now: float) -> None:
        """Let leases and ejections run out; to be called every `TICK_S`.

        Where it is called late, the router stood still, and renewals lie unread: leases last so much longer, but no
        longer than one that is renewed now, as some may have been since.
        """
        late_s = 0.0 if self._ticked is None else now - self._ticked - TICK_S
        self._ticked = now
        for replica in list(self.replicas.values()):
            if late_s > TICK_S and replica.lease_until is not None:
                replica.lease_until = min(replica.lease_until + late_s, now + replica.lease_s)
            if replica.lease_until is not None and now >= replica.lease_until:
                del self.replicas[replica.id]
                self._part_from(replica, now, works_on=replica.draining)
                self._emit("expired", replica.id, now, in_flight=replica.in_flight)
                self._look_around(replica, now)
            elif replica.ejected_until is not None and now >= replica.ejected_until:
                replica.ejected_until = None
                replica.failures_in_row = 0
                self._turned(replica, now)
                if replica.state == "ready":
                    self._emit("readmitted", replica.id, now, cause="ejection_over")
        self.turned(now)

    def _part_from(self, replica: Replica, now: float, *, works_on: bool) -> None:
        """It is no member any more; `works_on`: it goes on with what it has."""
        self._rotation = None
        if not works_on:
            replica.set_aside(now)
        self._departed.add(replica, now)

    def _turned(self, replica: Replica, now: float) -> None:
        """Its state may have changed."""
        self._rotation = None
        if replica.state in ("ready", "draining") or (self.panics and may_work(replica)):
            replica.take_up(now)
        else:
            replica.set_aside(now)

    def _look_around(self, replica: Replica, now: float) -> None:
        """Begin or end to ignore the checks; `replica` is the one that has just changed."""
        known = [each.healthy for each in self.replicas.values() if each.healthy is not None and not each.draining]
        panics = known.count(True) < self._health.panic_threshold * len(known)
        if panics == self.panics:
            return
        self.panics = panics
        self._emit("panic" if panics else "panic_over", replica.id, now, healthy=known.count(True), of=len(known))
        for each in self.replicas.values():
            self._turned(each, now)
        if not panics:
            for each in self.replicas.values():
                if may_work(each) and not each.healthy:
                    self.left(each.id)

    def work_seconds(self, now: float) -> float:
        """Request-seconds spent until `now` at replicas in rotation or draining, those that have left included."""
        return self._departed.work_seconds(now) + sum(r.work_seconds(now) for r in self.replicas.values())

    # -- rotation

    def candidates(self, tried: Collection[str] = ()) -> Sequence[Replica]:
        """Who may be picked: those in rotation, without the `tried` ones while there are others.

        In a panic, those that only failed checks keep out are in rotation, too. Where nobody is, those that only a
        passive ejection keeps out: it never takes the last replica, also when the others went after it.
        """
        ready = self._rotation
        if ready is None:
            ready = self._serving()
            if not ready:
                known = (r for r in self.replicas.values() if r.healthy is not None and not r.draining)
                ready = tuple(r for r in known if r.healthy or self.panics)
            self._rotation, self._in_rotation = ready, {id(replica) for replica in ready}
            said = [replica.concurrency for replica in ready if replica.concurrency is not None]
            self._slots = sum(said) if ready and len(said) == len(ready) else None
        if not tried:
            return ready
        others = list(ready)
        for id_ in tried:
            replica = self.replicas.get(id_)
            if id(replica) in self._in_rotation:
                others.remove(replica)  # type: ignore[arg-type]
        return others or ready

    def slots(self) -> int | None:
        """How many requests those in rotation serve at a time; None: not all have said, or nobody is."""
        if self._rotation is None:
            self.candidates()
        return self._slots

    def _serving(self) -> tuple[Replica, ...]:
        everybody = self.replicas.values()
        return tuple(r for r in everybody if r.state == "ready" or (self.panics and may_work(r)))

    def has_others(self, tried: Collection[str]) -> bool:
        """Whether one that is not `tried` may be picked."""
        for replica in self.candidates():  # noqa: SIM110 - a generator costs more than the question, asked at each failure
            if replica.id not in tried:
                return True
        return False

    def is_candidate(self, replica: object, tried: Collection[str] = ()) -> bool:
        """Whether this very object is among `candidates(tried)`."""
        if self._rotation is None or id(replica) not in self._in_rotation:
            return False
        return not tried or replica.id not in tried or not self.has_others(tried)  # type: ignore[attr-defined]

    def picked(self, reason: str) -> None:
        """Count a pick."""
        if reason not in self.picks and len(self.picks) >= REASONS:
            reason = "other"
        self.picks[reason] = self.picks.get(reason, 0) + 1

    def on_start(self, replica: Replica, now: float) -> None:
        """An attempt begins."""
        replica.pass_time(now)
        replica.in_flight += 1
        replica.requests_total += 1

    def on_finish(self, replica: Replica, outcome: Outcome, latency_s: float, now: float, reason: str = "") -> None:
        """An attempt ended; a row of failures ejects, a refused connection at once.

        `overloaded` and `cancelled` say nothing of health; a `latency_s` of 0: nothing is known of it.
        """
        replica.pass_time(now)
        replica.in_flight -= 1
        if outcome == "ok":
            replica.failures_in_row = 0
            replica.ejections_in_row = 0
            if latency_s <= 0:
                return
            before = replica.latency_s
            replica.latency_s = latency_s if before is None else before + 0.1 * (latency_s - before)
        elif outcome == "error":
            replica.failures_total += 1
            replica.failures_in_row += 1
            if not self._ejection.enabled:
                return
            if reason == NOBODY_LISTENS and self._ejection.refused:
                self._eject(replica, now, NOBODY_LISTENS, reason)
            elif replica.failures_in_row >= self._ejection.consecutive_failures:
                self._eject(replica, now, "consecutive_failures", reason)

    def _eject(self, replica: Replica, now: float, cause: str, reason: str) -> None:
        """Leave it out for a while (Envoy: base time times the ejections in a row), never the last one."""
        serving = self._serving()
        ejected = sum(r.ejected_until is not None for r in self.replicas.values())
        most = most_ejected(self._ejection.max_share, len(self.replicas))
        if replica not in serving or len(serving) < 2 or ejected >= most:
            return
        replica.ejections_in_row += 1
        replica.ejections_total += 1
        for_s = min(self._ejection.max_s, self._ejection.base_s * replica.ejections_in_row)
        replica.ejected_until = now + for_s
        self._turned(replica, now)
        self._emit(
            "ejected",
            replica.id,
            now,
            cause=cause,
            failures=replica.failures_in_row,
            for_s=for_s,
            reason=reason,
        )

    def on_check(self, id_: str, passed: bool, now: float, reason: str = "") -> None:
        """A health check answered; the first one that passes admits, later ones need their thresholds.

        Passing does not end a passive ejection: a replica may be healthy to the check and fail at work
        (envoy #28303).
        """
        replica = self.replicas.get(id_)
        if replica is None:
            return
        if passed and replica.healthy:  # as nearly every one: nothing changes
            replica.passes, replica.fails = replica.passes + 1, 0
            return
        replica.passes, replica.fails = (replica.passes + 1, 0) if passed else (0, replica.fails + 1)
        was, healthy_before = replica.state, replica.healthy
        if passed and (replica.healthy is None or replica.passes >= self._health.healthy_threshold):
            replica.healthy = True
        elif not passed and replica.healthy and replica.fails >= self._health.unhealthy_threshold:
            replica.healthy = False
        if replica.state == was and healthy_before == replica.healthy:
            return
        self._turned(replica, now)
        if was == "ready" and replica.state == "ejected":
            replica.ejections_total += 1
            self._emit("ejected", id_, now, cause="health_check", failures=replica.fails, reason=reason)
        elif was != "ready" and replica.state == "ready":
            self._emit("readmitted", id_, now, cause="first_check" if was == "pending" else "health_check")
        self._look_around(replica, now)
        self.turned(now)
