"""Sorts runs into rows, one a scenario, and names each so that it can be told from the others of its row."""

from dataclasses import dataclass

from record.metrics import Metrics
from record.reading import Run
from record.settings import flatten
from record.shapes import stands_in, url_of_external

ORDER = ("baseline", "routed", "failover", "failure", "autoscale")
"""Rows that come first, in this order; others follow by name."""


@dataclass
class Entry:
    """A run on the page."""

    run: Run
    metrics: Metrics
    name: str
    """Its folder's, unlike any other of its row: what files call it."""
    label: str = ""
    """What was typed for it and not for the others of its row, else its name: what pictures call it."""

    @property
    def is_valid(self) -> bool:
        """Whether its numbers count."""
        return bool(self.metrics["valid"])


Row = tuple[str, list[Entry]]


def arrange(runs: list[tuple[Run, Metrics]]) -> list[Row]:
    """Rows of (title, runs): one a scenario, and where a scenario ran under several policies, one a policy."""
    policies: dict[str, set[str]] = {}
    for run, _ in runs:
        policies.setdefault(scenario(run), set()).add(policy(run))
    rows: dict[tuple[str, str], list[Entry]] = {}
    for run, metrics in runs:
        name = scenario(run)
        key = (name, policy(run) if len(policies[name]) > 1 else "")
        rows.setdefault(key, []).append(Entry(run, metrics, _name(run)))
    for entries in rows.values():
        _tell_apart(entries)
        _label(entries)
    order = sorted(rows, key=lambda key: (ORDER.index(key[0]) if key[0] in ORDER else len(ORDER), key))
    return [(", ".join(part for part in key if part), rows[key]) for key in order]


def _tell_apart(entries: list[Entry]) -> None:
    """Folders of one name get as many folders above before it as make them differ."""
    names = [entry.name for entry in entries]
    depth = 1
    while len(set(names)) < len(names):
        depth += 1
        names = ["/".join(entry.run.folder.absolute().parts[-depth:]) for entry in entries]
    for entry, name in zip(entries, names, strict=True):
        entry.name = name


def _label(entries: list[Entry]) -> None:
    """Name the overrides that differ, as `seed=2`; where these do not tell runs apart, the folder does."""
    typed = [_overrides(entry.run) for entry in entries]
    flat = [flatten(entry.run.manifest["config"]) for entry in entries]
    parts: list[list[str]] = [[] for _ in entries]
    for key in dict.fromkeys(key for overrides in typed for key in overrides):
        # A run whose override says what another's default says does not differ from it.
        values = [
            config.get(key) or config.get(f"{key}.name") or overrides.get(key, "default")
            for overrides, config in zip(typed, flat, strict=True)
        ]
        if len(set(values)) > 1:
            for part, overrides, value in zip(parts, typed, values, strict=True):
                part.append(f"{key}={overrides.get(key, value)}")
    labels = [", ".join(part) for part in parts]
    for entry, label in zip(entries, labels, strict=True):
        is_shared = labels.count(label) > 1
        entry.label = (f"{label} ({entry.name})" if is_shared else label) if label else entry.name


def _overrides(run: Run) -> dict[str, str]:
    """Key and value of what was typed, the scenario apart, which stands above the row."""
    pairs = (str(text).lstrip("+~").partition("=") for text in run.manifest.get("overrides") or [])
    return {key: value for key, _, value in pairs if key != "scenario"}


def _name(run: Run) -> str:
    """The folder's name without the scenario, which stands above the row."""
    return run.folder.absolute().name.removesuffix(f"-{scenario(run)}")


def scenario(run: Run) -> str:
    """The run's scenario."""
    return str(run.manifest.get("scenario"))


def policy(run: Run) -> str:
    """The run's balancing policy, `no router`, the proxy in its place, or where one listens that is not of Aegis."""
    if (url := url_of_external(run.manifest)) is not None:
        return url
    config = run.manifest["config"]
    if (name := stands_in(run.manifest)) is not None:
        return f"{name} {algorithm}" if (algorithm := config["router"].get("algorithm")) else name
    return str((config.get("policy") or {}).get("name")) if config.get("router") else "no router"
