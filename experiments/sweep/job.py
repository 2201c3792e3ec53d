"""A job: one run of a sweep, as it was planned."""

from dataclasses import dataclass, replace
from typing import Any

from experiments.plan.config import Config
from experiments.plan.resolve import Plan
from record.naming import job_folder


@dataclass(frozen=True)
class Job:
    """One run of a sweep, or the only one."""

    number: int
    """Unique in its sweep; the arm named first has the lowest."""
    overrides: tuple[str, ...]
    scenario: str
    plan: Plan
    composed: dict[str, Any]
    """The configuration as Hydra composed it, interpolations as they are typed."""
    order: int = 0
    """Its place within its seed's jobs."""
    looks: tuple[int, ...] = ()
    """The numbers of pairs at which its sweep had already ended before it was planned."""
    differs: tuple[str, ...] = ()
    """Its arm, as far as not all jobs of its sweep have it."""

    @property
    def folder(self) -> str:
        """The name of its folder in its sweep's."""
        return job_folder(self.differs, self.config.seed, self.number)

    @property
    def name(self) -> str:
        """What it is called in a line: the same, and its seed."""
        return ", ".join([*self.differs, f"seed={self.config.seed}"])

    @property
    def config(self) -> Config:
        """Its plan's."""
        return self.plan.config

    @property
    def arm(self) -> tuple[str, ...]:
        """Its overrides without what runs of one arm may differ in."""
        return tuple(text for text in self.overrides if key_of(text) not in ("seed", "tracking.enabled"))

    def with_seed(self, seed: int, number: int) -> "Job":
        """The same arm with another seed.

        Raises:
            ConfigError: this seed makes the configuration wrong.
        """
        kept = tuple(text for text in self.overrides if key_of(text) != "seed")
        composed = self.composed | {"seed": seed}
        plan = self.plan.with_seed(seed)
        return Job(number, (f"seed={seed}", *kept), self.scenario, plan, composed, differs=self.differs)

    def with_tracking(self, enabled: bool) -> "Job":
        """The same, logged to MLflow or not, as if that had been typed last."""
        kept = tuple(text for text in self.overrides if key_of(text) != "tracking.enabled")
        text = f"tracking.enabled={str(enabled).lower()}"
        return replace(self, overrides=(*kept, text), plan=self.plan.with_tracking(enabled))


def key_of(override: str) -> str:
    """The key or group that an override names."""
    return override.lstrip("+~").partition("=")[0]
