"""The service level objective of a run, in words."""

from record.shapes import Manifest

OF_REQUESTS = "served within the objective"
OF_SECONDS = "seconds outside the objective"


def limits(manifest: Manifest) -> tuple[float, float] | None:
    """The longest p99 of a second, milliseconds, and the largest share of failures; None where a manifest has none."""
    slo: dict[str, object] = manifest["config"].get("slo") or {}
    p99_ms, share = slo.get("p99_ms"), slo.get("error_rate")
    if not isinstance(p99_ms, int | float) or not isinstance(share, int | float):
        return None
    return float(p99_ms), float(share)


def of_requests(manifest: Manifest) -> str:
    """What the share of requests within the objective is called."""
    known = limits(manifest)
    return OF_REQUESTS if known is None else f"served within {known[0]:,.10g} ms, the objective"


def of_seconds(manifest: Manifest) -> str:
    """What the seconds outside the objective are called."""
    known = limits(manifest)
    if known is None:
        return OF_SECONDS
    return f"seconds with p99 > {known[0]:,.10g} ms or > {known[1] * 100:.10g} % failed"


def sentence(manifests: list[Manifest]) -> str:
    """What the objective of several runs is; empty where none says it."""
    known = {limits(manifest) for manifest in manifests} - {None}
    if len(known) > 1:
        return "The arms have different objectives (slo), by which seconds and requests are counted."
    return "".join(
        f"The objective: of a request, to be served within {p99_ms:,.10g} ms; of a second, p99 at most {p99_ms:,.10g} "
        f"ms and at most {share * 100:.10g} % failed."
        for p99_ms, share in (each for each in known if each is not None)
    )
