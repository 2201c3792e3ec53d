"""Where the probes of a curve are kept: a line each as soon as it is known, so that none is made twice.

    about.json     of which configuration and machine
    probes.jsonl   a line a probe, invalid ones included
    runs/          of live probes the runs, as any run leaves them; of simulated ones the run that is under way
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.plan.capacity import EACH, differences_of_each, machine
from experiments.plan.config import ConfigError
from record.files import write_json, write_text
from record.place import hold
from record.provenance import commit_of, provenance
from record.settings import flatten
from record.writing import Lines

ABOUT, PROBES, RUNS = "about.json", "probes.jsonl", "runs"
APART = ("arm", "seed", "replicas", "workload.rate_rps", "workload.utilisation", "tracking", "summary",
         "counterfactual", "comparison", "repeat", "autoscaling", "scaler", *EACH)  # fmt: skip
"""Keys and sections that may be otherwise when a search is gone on with: they change nothing, or probes say them. Of
lists with a value a replica those that both have must be the same."""


@dataclass(frozen=True)
class Probe:
    """One run at a rate."""

    replicas: int
    rate_rps: float
    seed: int
    requests: int
    """Outside warm-up."""
    late: float | None
    """The share of them not served within `slo.p99_ms`; None = there were none."""
    failed: float | None
    """The share that failed."""
    valid: bool
    """Whether the instrument worked; else it says nothing of the fleet."""
    reasons: list[str]
    """Why it did not."""


class Kept:
    """A folder, held by this process until `close`."""

    def __init__(self, folder: Path, resolved: Mapping[str, Any], *, is_virtual: bool) -> None:
        """Open it, or make it.

        Args:
            folder: the probes'.
            resolved: the configuration of the largest fleet.
            is_virtual: whether probes are simulated, and so the same on every machine.

        Raises:
            ConfigError: it is of another configuration, or of another machine, or another process has it.
            OSError: it cannot be written to.
        """
        folder.mkdir(parents=True, exist_ok=True)
        claim = hold(folder)
        if claim is None:
            raise ConfigError(f"{folder}: another `aegis capacity` writes here; choose another -o")
        self.folder, self._claim = folder, claim
        try:
            self.notes = self._take(resolved, is_virtual=is_virtual)
            self._known = self._read()
            self._lines = Lines(folder / PROBES)
        except BaseException:
            claim.release()
            raise

    def _take(self, resolved: Mapping[str, Any], *, is_virtual: bool) -> list[str]:
        """Hold it against what was there; what is to be said of that."""
        path, here = self.folder / ABOUT, machine()
        config = json.loads(json.dumps(resolved, default=str))
        about = {"config": config, "machine": here, "commit": commit_of(provenance())}
        try:
            then = json.loads(path.read_text(encoding="utf-8"))
            before, now = _telling(then["config"]), _telling(config)
            counts = int(then["config"]["replicas"]), int(config["replicas"])
            otherwise = differences_of_each(then["config"], config, min(counts))
        except FileNotFoundError:
            write_json(path, about)
            return []
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path}: is damaged ({error}); remove it, or choose another -o") from error
        both = sorted(before.keys() & now.keys())  # a key that only one has is of another version of the code
        otherwise += [(key, before[key], now[key]) for key in both if before[key] != now[key]]
        for key, were, are in otherwise:
            raise ConfigError(f"{self.folder}: its probes are of {key}={were}, this is of {are}; choose another -o")
        if not is_virtual and then["machine"] != here:
            machines = f"another machine ({then['machine']})"
            raise ConfigError(f"{self.folder}: its probes are of {machines}; choose another -o")
        if counts[1] > counts[0]:  # what is said of the replicas that are new holds from now on
            write_json(path, {**then, "config": config})
        if then["commit"] == about["commit"]:
            return []
        return [f"warning: {self.folder}: the tree has changed: probes there are of commit {then['commit']}, those to "
                f"come of {about['commit']}"]

    def _read(self) -> dict[tuple[int, float, int], Probe]:
        """The valid probes; a line that a killed process left torn is taken away."""
        path = self.folder / PROBES
        known: dict[tuple[int, float, int], Probe] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = []
        for line in text.splitlines():
            with suppress(ValueError, TypeError):
                probe = Probe(**json.loads(line))
                whole.append(line)
                if probe.valid:
                    known[probe.replicas, probe.rate_rps, probe.seed] = probe
        if text != (good := "".join(f"{line}\n" for line in whole)):
            write_text(path, good)
        return known

    def get(self, replicas: int, rate_rps: float, seed: int) -> Probe | None:
        """The valid probe of that kind, if there is one."""
        return self._known.get((replicas, rate_rps, seed))

    def add(self, probe: Probe) -> None:
        """Keep one; on disk at once."""
        self._lines.add(asdict(probe))
        if probe.valid:
            self._known[probe.replicas, probe.rate_rps, probe.seed] = probe

    def __len__(self) -> int:
        """Valid ones."""
        return len(self._known)

    def close(self) -> None:
        """Leave the folder to others.

        Raises:
            OSError: the disk does not take all lines.
        """
        try:
            self._lines.close()
        finally:
            self._claim.release()


def _telling(config: dict[str, Any]) -> dict[str, str]:
    """The keys that probes are told apart by."""
    return {
        key: value
        for key, value in flatten(config).items()
        if not any(key == name or key.startswith(f"{name}.") for name in APART)
    }
