"""Sorts runs into rows, one a scenario, and names each so that it can be told from the others of its row."""

from dataclasses import dataclass
from typing import Any

from analysis.run_folder import Run

ORDER = ("baseline", "routed", "failover", "failure", "autoscale")
"""Rows that come first, in this order; others follow by name."""


@dataclass
class Entry:
    """A run on the page."""

    run: Run
    metrics: dict[str, Any]
    label: str
    """Tells it from the others of its row."""

    @property
    def is_valid(self) -> bool:
        """Whether its numbers count."""
        return bool(self.metrics["valid"])


Row = tuple[str, list[Entry]]


def arrange(runs: list[tuple[Run, dict[str, Any]]]) -> list[Row]:
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
    order = sorted(rows, key=lambda key: (ORDER.index(key[0]) if key[0] in ORDER else len(ORDER), key))
    return [(", ".join(part for part in key if part), rows[key]) for key in order]


def _tell_apart(entries: list[Entry]) -> None:
    """Folders of one name get as many folders above before it as make them differ."""
    labels = [entry.label for entry in entries]
    depth = 1
    while len(set(labels)) < len(labels):
        depth += 1
        labels = ["/".join(entry.run.folder.absolute().parts[-depth:]) for entry in entries]
    for entry, label in zip(entries, labels, strict=True):
        entry.label = label


def _name(run: Run) -> str:
    """The folder's name without the scenario, which stands above the row."""
    return run.folder.absolute().name.removesuffix(f"-{scenario(run)}")


def scenario(run: Run) -> str:
    """The run's scenario."""
    return str(run.manifest.get("scenario"))


def policy(run: Run) -> str:
    """The run's balancing policy, or `no router`."""
    config = run.manifest["config"]
    return str((config.get("policy") or {}).get("name")) if config.get("router") else "no router"
