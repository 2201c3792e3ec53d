"""Which plugins of a run are not of the tree: the commit says nothing of them, so the manifest says what they were."""

from collections.abc import Sequence

from experiments.plan.config import Config, ConfigError
from experiments.plan.fault_plan import Fault
from experiments.plan.profiles import PROFILES
from experiments.process_faults import PROCESS_FAULTS
from services.manager.scalers import SCALERS
from services.router.policies import POLICIES


def plugins_of(config: Config, faults: Sequence[Fault]) -> list[dict[str, str]]:
    """The plugins outside the tree that a run takes, each with its `key`, `name`, `file` and `sha256`."""
    chosen = [
        (POLICIES, str(config.policy["name"])),
        (SCALERS, str(config.scaler["name"])),
        (PROFILES, config.workload.profile),
        *((PROCESS_FAULTS, action) for action in sorted({fault.action for fault in faults})),
    ]
    return [about for point, name in chosen if (about := point.outside(name)) is not None]


def check_image(config: Config) -> None:
    """Refuse what containers do not have: their image holds the tree, and no folder of this machine is mounted.

    Raises:
        ConfigError: policy or scaler is of outside.
    """
    for about in plugins_of(config, ()):
        if about["key"] in ("policy", "scaler"):
            raise ConfigError(
                f"{about['key']}={about['name']}: {about['file']} is not in the image of engine=compose; take "
                "engine=local or engine=sim, or put the file into the tree"
            )
