"""Whether the instrument worked. A bad result of the system under test is a finding, never a reason here."""

from collections.abc import Iterator

from record.metrics import Metrics, value_of
from record.reading import Run
from record.schema import FAULT_FAILED, FAULT_HEALED, FAULT_INJECTED, FAULT_SPARED
from record.shapes import Event

LIMITS = {
    "max_lateness_p99_ms": 25.0,
    "min_sent_share": 0.999,
    "max_generator_cpu_cores": 0.9,
    "max_foreign_cpu_cores": 0.5,
    "max_steal_cores": 0.2,
    "max_router_starved_ms": 50.0,
    "max_fault_delay_ms": 100.0,
    "max_clock_offset_ms": 10.0,
}
"""Limits where the manifest's `validity` section has none; the meaning of each: docs/results.md."""



def reasons(run: Run, metrics: Metrics) -> list[str]:
    """Why the run is not a valid measurement, a sentence each; empty = it is one.

    A check whose data is missing fails a complete run; an incomplete one is not blamed for what it never wrote.
    """
    limit = {key: run.setting("validity", key, default) for key, default in LIMITS.items()}
    return [
        *_completion(run),
        *_sending(run, metrics, limit),
        *_remote(run, limit),
        *_faults(run, limit["max_fault_delay_ms"]),
        *(() if run.is_simulated else _machine(run, metrics, limit)),
        *(() if run.is_simulated else _clocks(run, limit["max_clock_offset_ms"])),
    ]


def _completion(run: Run) -> Iterator[str]:
    """The run and each of its generator processes came to their ends."""
    why = run.manifest.get("exit_reason")
    if not run.is_complete:
        error = " ".join(str(run.manifest.get("error") or "").split())
        after = f" {run.end_s:.0f} s of {run.setting('workload', 'duration_s', run.end_s):.0f} s were measured"
        yield f"the run did not complete (exit_reason {why}{': ' + error[:120] if error else ''});{after}"
        return
    if run.is_simulated:
        return
    generators = run.manifest.get("generator") or []
    if len(generators) < run.workers:
        yield f"{run.workers - len(generators)} of {run.workers} generator processes left no record"
    for number, generator in enumerate(generators):
        if generator.get("stopped") == "lost":
            yield f"{generator['reason']}: what became of its {generator['dropped']:,} requests is not known"
        elif generator.get("stopped") != "complete":
            yield f"{_name(run, generator.get('shard', number))} stopped early ({generator.get('stopped')})"
        if lacked := generator.get("lacked"):
            yield _lacking(_name(run, generator.get("shard", number)), lacked, generator.get("descriptors"))


def _lacking(name: str, lacked: dict[str, int], descriptors: int | None) -> str:
    """What the machine of a generator process ran out of, and what helps."""
    remedies = {
        "EMFILE": f"it may have {descriptors or 0:,} descriptors: raise the hard limit (ulimit -Hn), or load.workers",
        "EADDRNOTAVAIL": "no local port is free: widen net.ipv4.ip_local_port_range, or lower the rate",
    }
    remedy = next((remedies[error] for error in lacked if error in remedies), "the machine's limits: see dmesg")
    counts = ", ".join(f"{error} {count:,} times" for error, count in sorted(lacked.items()))
    return f"{name} could not send all: {counts} ({remedy})"


def _name(run: Run, shard: int) -> str:
    """What a reader calls the generator process that sent every `workers`-th request from number `shard` on."""
    generators = run.manifest.get("generator") or []
    worker = next((g["worker"] for g in generators if g.get("shard") == shard and "worker" in g), None)
    return f"generator process {shard}" if worker is None else f"worker {worker}"


def _sending(run: Run, metrics: Metrics, limit: dict[str, float]) -> Iterator[str]:
    """What was planned was sent, on time."""
    offered, sent = metrics["offered_requests"], metrics["sent_requests"]
    if offered and sent < limit["min_sent_share"] * offered:
        needed = f"at least {limit['min_sent_share'] * 100:g} % needed"
        yield f"{sent:,} of {offered:,} planned requests were sent ({needed})"
    if run.is_complete and not offered:
        yield "no request was planned outside warm-up"
    if metrics["dropped"]:
        yield f"{metrics['dropped']:,} requests were dropped (limit 0)"
    lateness = metrics["lateness_p99_ms"]
    if lateness is not None and lateness > limit["max_lateness_p99_ms"]:
        yield f"requests left {lateness:.1f} ms late (p99; limit {limit['max_lateness_p99_ms']:g} ms)"
    for shard in range(run.workers if run.workers > 1 else 0):
        late = value_of(metrics, f"lateness_p99_ms_worker_{shard}")
        if late is not None and late > limit["max_lateness_p99_ms"]:
            most = f"limit {limit['max_lateness_p99_ms']:g} ms"
            yield f"requests of {_name(run, shard)} left {late:.1f} ms late (p99; {most})"


def _remote(run: Run, limit: dict[str, float]) -> Iterator[str]:
    """Workers of other machines knew the run's time, and their machines had CPU to spare."""
    for generator in run.manifest.get("generator") or []:
        if generator.get("stopped") != "complete" or "worker" not in generator:
            continue
        who = f"worker {generator['worker']}"
        bound, most = generator["clock_uncertainty_ms"], limit["max_lateness_p99_ms"]
        if bound > most:
            yield f"the clock of {who} is known to {bound:.1f} ms only (limit {most:g} ms)"
        drift, known = generator["clock_drift_ms"], generator["clock_drift_uncertainty_ms"]
        most = limit["max_clock_offset_ms"]
        if drift is None or known is None:
            yield f"the clock of {who} was not compared at the end"
        elif abs(drift) - known > most:
            yield f"the clock of {who} drifted by {drift:+.1f} ms (known to {known:.1f} ms; limit {most:g} ms)"
        gates = [("its generator, in its busiest second", generator["cpu_max_cores"], "max_generator_cpu_cores")]
        if not generator["shares_kernel"]:  # else the runner's own samples hold these
            gates += [
                ("foreign processes, on average", generator["cpu_foreign_cores"], "max_foreign_cpu_cores"),
                ("the hypervisor (steal), on average", generator["cpu_steal_cores"], "max_steal_cores"),
            ]
        for what, used, gate in gates:
            if used is None:
                yield f"CPU of {what.split(',')[0]} was not sampled at {who}"
            elif used > limit[gate]:
                yield f"CPU of {what}, at {who}: {used:.2f} cores (limit {limit[gate]:g})"


def _machine(run: Run, metrics: Metrics, limit: dict[str, float]) -> Iterator[str]:
    """Generator, router and host had the CPU they needed; a router that has used its core up is a finding."""
    busiest = metrics["cpu_generator_max_cores"]
    for name, used, most in (
        (
            "generator, in its busiest second and per process",
            None if busiest is None else busiest / run.workers,
            limit["max_generator_cpu_cores"],
        ),
        ("foreign processes, on average", metrics["cpu_foreign_cores"], limit["max_foreign_cpu_cores"]),
        ("the hypervisor (steal), on average", metrics["cpu_steal_cores"], limit["max_steal_cores"]),
    ):
        if used is None or used != used:  # NaN: no sample had it
            if run.is_complete:
                yield f"CPU of {name.split(',')[0]} was not sampled"
        elif used > most:
            yield f"CPU of {name}: {used:.2f} cores (limit {most:g})"
    starved, most = metrics["router_starved_ms"], limit["max_router_starved_ms"]
    if starved is not None and starved > most:
        yield f"the router's loop stood still for {starved:.0f} ms of a mean second without a core (limit {most:g} ms)"


def _faults(run: Run, limit_ms: float) -> Iterator[str]:
    """Every planned fault landed, and when it was planned."""
    for event in run.events:
        if event["event"] == FAULT_FAILED:
            yield f"fault {event.get('action')} on {event.get('target')} failed: {event.get('reason')}"
    for event, delay_ms in fault_delays(run.events):
        if delay_ms > limit_ms:
            word = "healed" if event["event"] == FAULT_HEALED else "landed"
            yield f"fault {event['action']} on {event['target']} {word} {delay_ms:.0f} ms late (limit {limit_ms:g} ms)"
    ends = (FAULT_INJECTED, FAULT_FAILED, FAULT_SPARED)
    told = {event.get("fault") for event in run.events if event["event"] in ends}
    for index, planned in enumerate(run.manifest.get("faults") or []):
        if run.is_complete and index not in told:
            what = f"fault {planned.get('action')} on {planned.get('target')}"
            yield f"{what}, planned at {planned.get('at_s')} s, never landed"


def fault_delays(events: list[Event]) -> list[tuple[Event, float]]:
    """(event, milliseconds after its planned moment) of every planned injection and heal."""
    return [
        (event, (event["t_s"] - planned_s) * 1e3)
        for event in events
        if event["event"] in (FAULT_INJECTED, FAULT_HEALED) and (planned_s := event.get("planned_s")) is not None
    ]


def _clocks(run: Run, limit_ms: float) -> Iterator[str]:
    """The clocks agree; only a disagreement beyond the uncertainty of its measurement is one."""
    # A run that was configured before there was this limit is not held to it.
    is_due = "max_clock_offset_ms" in (run.manifest["config"].get("validity") or {})
    if run.is_complete and is_due and "clocks" not in run.manifest:
        yield "the clocks were not compared"
    for entry in run.manifest.get("clocks") or []:
        offset, uncertainty = entry["offset_ms"], entry["uncertainty_ms"]
        if offset is None and entry["at"] == "start":
            yield f"the clock of the {entry['clock']} could not be read"
        elif offset is not None and uncertainty is not None and abs(offset) - uncertainty > limit_ms:
            known = f"known to {uncertainty:.1f} ms; limit {limit_ms:g} ms"
            yield f"the {entry['clock']} clock was {offset:+,.1f} ms off at the {entry['at']} ({known})"


def clock_offset_max_ms(run: Run) -> float | None:
    """The largest offset that was measured, without its sign; None = none was."""
    known = [abs(e["offset_ms"]) for e in run.manifest.get("clocks") or [] if e["offset_ms"] is not None]
    return max(known, default=None)
