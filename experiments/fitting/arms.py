"""The alternatives of a what-if: a fitted fleet with every combination of the choices that were typed."""

import math
from collections.abc import Sequence

import pandas as pd
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from experiments.fitting.kept import Kept
from experiments.fitting.overrides import faults
from experiments.fitting.playing import NEVER_S
from experiments.fitting.supposing import Arm
from experiments.plan import store
from experiments.plan.installed import CONF
from experiments.plan.resolve import resolve

SCENARIO = "+scenario=routed"
PATIENT = (
    f"load.timeout_s={NEVER_S:g}",
    f"router.timeouts.attempt_s={NEVER_S:g}",
    f"router.timeouts.overall_s={NEVER_S:g}",
    "replica.queue_limit=100000",
)
"""The log does not say when somebody would have given up; who knows types it."""


def arms_of(choices: Sequence[str], fitted: Kept, trace: pd.DataFrame) -> list[Arm]:
    """An arm for every combination, the last choice varying fastest, for a stretch of the fitted log.

    Raises:
        ConfigError, OmegaConfBaseException, HydraException: a choice is wrong.
    """
    parsed = OverridesParser.create().parse_overrides(list(choices))
    jobs = BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]
    varied = {each.get_key_element() for each in parsed if each.is_sweep_override()}
    store.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return [_arm(job, varied, fitted, trace) for job in jobs]


def _arm(job: Sequence[str], varied: set[str], fitted: Kept, trace: pd.DataFrame) -> Arm:
    begin_s = float(trace["scheduled_s"].iloc[0])
    span_s = float(trace["scheduled_s"].iloc[-1]) - begin_s
    keys = {each.partition("=")[0].lstrip("+~"): each.partition("=")[2] for each in job}
    left_out = ("replicas", "replica.speeds", "faults", *keys)
    base = [each for each in fitted.overrides if each.partition("=")[0] not in left_out]
    replicas = int(keys["replicas"]) if keys.get("replicas", "").isdigit() else fitted.hosts
    if "faults" not in keys and fitted.outages:
        base.append(faults(fitted.outages, replicas, begin_s, span_s))
    if "replica.speeds" not in keys:
        speeds = fitted.speeds_for(replicas, fitted.drawn.mean(axis=0))
        base.append(f"replica.speeds=[{','.join(f'{speed:.4g}' for speed in speeds)}]")
        base.append(f"replicas={replicas}")
        base = [each for each in base if each.partition("=")[0] not in keys]
    typed = [
        SCENARIO,
        "engine=sim",
        *fitted.simulated,
        *base,
        f"workload.duration_s={max(1.0, math.ceil(span_s))}",
        "workload.warmup_s=0",
        *(each for each in PATIENT if each.partition("=")[0] not in keys),
        *job,
    ]
    label = " ".join(each for each in job if each.partition("=")[0] in varied) or " ".join(job)
    plan = resolve(compose("config", overrides=typed), typed)
    return Arm(label, plan, "replica.concurrency" in keys, "replica.speeds" in keys)
