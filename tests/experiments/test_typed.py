"""What was typed for a pack is kept so that it can be typed again: all of it, with what it took from the environment."""

import os
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest

from analysis.standings.protocol import read_protocol
from analysis.standings.tuned import Tuned
from experiments import evidence
from experiments.data_planes import DATA_PLANES
from experiments.trials.arms import parse_arms
from experiments.trials.grids import ALL, DATA_PLANE, POLICY, read_grids
from experiments.trials.planning import Asked, planned
from experiments.trials.suites import scenarios_of
from experiments.trials.tuning import Outcome, gained
from experiments.trials.typed import with_variables
from tests.analysis.boards import protocol
from tests.running import ROOT
from tests.services.test_plugins import LAST

COMMAND = ("python", "-m", "experiments.evidence")


def test_a_pack_that_is_gone_on_with_by_another_command_keeps_both_in_their_order(tmp_path):
    begun = replace(protocol("ab", groups=4), command=(*COMMAND, "--aa", "4"))
    more = replace(protocol("ab", seeds=20), command=(*COMMAND, "--seeds", "20"))
    begun.write(tmp_path)
    assert evidence._gone_on_with(tmp_path, begun, None).earlier == (), "the same once more"
    both = evidence._gone_on_with(tmp_path, more, None)
    assert both.same_groups == 4 and both.earlier == (begun.command,) and both.command == more.command
    both.write(tmp_path)
    assert read_protocol(tmp_path) == both
    assert evidence._gone_on_with(tmp_path, more, None).earlier == (begun.command,)
    most = replace(more, command=(*COMMAND, "--seeds", "20", "--tries", "9"))
    assert evidence._gone_on_with(tmp_path, most, None).earlier == (begun.command, more.command)


def test_a_program_that_the_environment_names_is_named_before_the_command(monkeypatch):
    monkeypatch.setenv("ENVOY", sys.executable)
    monkeypatch.setenv("HAPROXY", "/opt/haproxy, which no arm asks for")
    first = planned(Asked(scenarios_of("gray_failure"), parse_arms(["router=envoy,router=aegis"]), (), None))
    assert with_variables(COMMAND, first) == ("env", f"ENVOY={sys.executable}", *COMMAND)
    assert with_variables(COMMAND, first, {"ENVOY": ""}) == COMMAND, "as the program is looked for"
    chosen = evidence._parser().parse_intermixed_args(["--arms", "router=envoy,router=aegis"])
    asked, _ = evidence._asked(chosen)
    assert evidence._protocol(chosen, asked, first, COMMAND).command[:2] == ("env", f"ENVOY={sys.executable}")


def test_a_shell_takes_a_program_whose_path_has_a_blank():
    """`env` as POSIX has it, by a real shell."""
    line = shlex.join(("env", "ENVOY=/opt/a b/envoy", "sh", "-c", 'printf %s "$ENVOY"'))
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "/opt/a b/envoy"


PLANNED = """
from experiments.trials import arms, planning, suites, typed
first = planning.planned(planning.Asked(suites.scenarios_of("hang"), arms.parse_arms(["policy={policy}"]), ("engine=sim",), 14))
print(*typed.with_variables(("python",), first))
"""


@pytest.mark.parametrize("policy", ["mine", "random"])
def test_plugins_outside_the_tree_are_named_by_their_folder_where_an_arm_takes_one(tmp_path, policy):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "mine.py").write_text(LAST.format(name="mine"))
    code, environment = PLANNED.format(policy=policy), os.environ | {"AEGIS_PLUGINS": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (f"env AEGIS_PLUGINS={tmp_path} python" if policy == "mine" else "python")


def test_what_tuning_bought_at_p99_has_no_shares_of_late_requests_in_it():
    """p99 alike in one pathology, half as many late in the other: x 1, and not the root of a half."""
    own = Outcome({("hang", 1): 300.0, ("overload", 1): 0.4}, {("hang", 1): (0, 1000), ("overload", 1): (400, 1000)})
    new = Outcome({("hang", 1): 300.0, ("overload", 1): 0.2}, {("hang", 1): (0, 1000), ("overload", 1): (200, 1000)})
    assert gained(own, new) == pytest.approx(0.5**0.5)
    assert gained(own, new, {"overload"}) == 1.0
    assert gained(own, new, {"overload", "hang"}) is None
    told = Tuned("a", 8, 73, ("router.timeouts.attempt_s=1",), 1.0, (0.2, 0.1), counts_late=True).sentence()
    assert "p99 x 1.000, lost or late 20.00 -> 10.00 % on seeds of its own" in told
    assert "p99 not known, lost 0.00 -> 0.00 %" in Tuned("a", 8, 73, ("x=1",), None, (0, 0)).sentence()


def test_the_published_grids_ask_nobody_what_he_has_not():
    """The simulator has no other data plane; live each is asked algorithms that it has, and none that loses requests."""
    assert read_grids(ROOT / "conf" / "tuning.yaml").keys() == {ALL, POLICY}
    live = read_grids(ROOT / "conf" / "tuning_live.yaml")[DATA_PLANE]
    for name, grid in live.items():
        algorithms = set(grid.get("router.algorithm", ()))
        assert algorithms <= set(DATA_PLANES.find(name).algorithms) - {"least_request_of_all"}, name
