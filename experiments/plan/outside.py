"""Which plugins of a run are not of the tree: the commit says nothing of them, so the manifest says what they were."""

from collections.abc import Sequence

from experiments.data_planes import DATA_PLANES
from experiments.plan.arrivals import ARRIVALS
from experiments.plan.config import Config
from experiments.plan.engines import ENGINES
from experiments.plan.fault_plan import Fault
from experiments.plan.profiles import PROFILES
from experiments.process_faults import PROCESS_FAULTS
from services.manager.scalers import SCALERS
from services.router.policies import POLICIES


def plugins_of(config: Config, faults: Sequence[Fault]) -> list[dict[str, str]]:
    """The plugins outside the tree that a run takes, each with its `key`, `name`, `file` and `sha256`."""
    chosen = [
        *((POLICIES, name) for name in sorted({str(each["name"]) for each in (config.policy, config.tier.policy)})),
        (SCALERS, str(config.scaler["name"])),
        (PROFILES, config.workload.profile),
        (ARRIVALS, config.workload.arrivals),
        (ENGINES, config.engine.name),
        *(((DATA_PLANES, router.data_plane),) if (router := config.started_router) is not None else ()),
        *((PROCESS_FAULTS, action) for action in sorted({fault.action for fault in faults})),
    ]
    return [about for point, name in chosen if (about := point.outside(name)) is not None]
