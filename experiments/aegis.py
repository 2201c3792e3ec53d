"""The command `aegis`: every command of Aegis by one name. `aegis run ...` is `python -m experiments.run ...`.

Only the module of the command that was typed is imported.
"""

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.plan.installed import missing
from experiments.runner.reader import outlive_the_reader
from record import __version__

WRONG = 2
"""Exit status of a command line that asks for what is not there."""


@dataclass(frozen=True)
class Command:
    """One subcommand."""

    module: str
    """Has `main() -> int | None`, which reads `sys.argv`."""
    about: str
    extra: str | None = None
    """The extra that it cannot do without."""
    first: tuple[str, ...] = ()
    """Arguments before the user's."""

    @property
    def package(self) -> str:
        """What `python -m` calls it."""
        return self.module.removesuffix(".__main__")


COMMANDS = {
    "run": Command("experiments.run", "run an experiment: +scenario=NAME [group=choice] [key=value]"),
    "sweep": Command("experiments.run", "the same with -m: all combinations of choices, compared", first=("-m",)),
    "keys": Command("experiments.keys", "every key: its unit, default, bounds and meaning"),
    "replay": Command("experiments.replay", "measure a run again: does it come out the same?"),
    "evidence": Command("experiments.evidence", "arms under a suite of pathologies: a board with verdicts"),
    "capacity": Command("experiments.capacity", "the highest rate that 1, 2, ... replicas stand, by bisection"),
    "summary": Command("analysis.summary", "draw runs again, or several on one page"),
    "compare": Command("analysis.compare", "effects with intervals, a verdict on each arm, the best arms"),
    "report": Command("analysis.report", "a run, a sweep or a comparison as one HTML file", extra="report"),
    "leaderboard": Command("analysis.leaderboard", "the board of an evidence pack again, from its folders"),
    "compare-urls": Command("experiments.compare_urls", "services of your own, by address: the same load, a verdict"),
    "baseline": Command("analysis.baseline", "keep runs under a name to compare with: save, list"),
    "fit": Command("experiments.fit", "the fleet behind an imported log, or why there is none"),
    "what-if": Command("experiments.what_if", "what a change would have done to a fitted log"),
    "export": Command("experiments.export", "the winner as Envoy, HAProxy, nginx, Traefik, Caddy or an HPA"),
    "conformance": Command("experiments.conformance", "a live run's decisions held against its policy, one by one"),
    "plan": Command("analysis.plan", "how many pairs an effect takes, how long; from a pilot"),
    "regimes": Command("analysis.regimes", "a sweep over two keys as a map: which policy wins where"),
    "storm-map": Command("analysis.storm_map", "a sweep over load and retries: where the fleet stays down"),
    "import": Command("experiments.import_log", "your traffic from your logs: nginx, Envoy, HAProxy and more"),
    "tracking": Command("experiments.tracking", "log runs to MLflow afterwards", extra="tracking"),
    "calibrate": Command("experiments.calibrate", "what this machine's load generator sends on time", extra="load"),
    "lateness": Command("experiments.lateness", "the load generator beside plain Locust, hey and wrk", extra="load"),
    "agreement": Command("experiments.agreement", "live runs against their simulated twins"),
    "fit-calibration": Command("experiments.fit_calibration", "how right fits are, on systems whose truth is known"),
    "what-if-calibration": Command("experiments.what_if_calibration", "how right what-ifs are, by live runs"),
    "what-if-check": Command("experiments.what_if_check", "live runs beside what was predicted of them"),
    "conformance-calibration": Command("experiments.conformance_calibration", "how right that is, on known bugs"),
    "pairing": Command("experiments.pairing", "how many runs the shared seeds save, simulated"),
    "calibration": Command("analysis.calibration.__main__", "how often the verdicts are right, simulated"),
    "router-cost": Command("experiments.router_cost", "CPU a request and added latency, beside other proxies"),
    "policy-table": Command("experiments.policy_table", "every policy under every fault beside the floor, simulated"),
    "simulator-speed": Command("experiments.simulator_speed", "simulated requests a second on this machine"),
    "compile": Command("experiments.compile", "router and simulator compiled: about twice as fast"),
    "router": Command("services.router.__main__", "the router alone"),
    "backend": Command("services.backend.__main__", "a replica alone"),
    "manager": Command("services.manager.__main__", "the autoscaler alone"),
    "load-worker": Command("experiments.load_worker", "this machine's share of a run's load", extra="load"),
    "boards": Command("analysis.boards", "a Grafana board as a picture, from Prometheus"),
}
HELP = """\
usage: aegis COMMAND [ARGUMENT ...]     aegis COMMAND --help     aegis --version

Which routing, failover and autoscaling policy serves my load best, and can I
trust the comparison? Aegis plays a seeded open-loop load against a real router
and real replicas, or in virtual time, hurts them on schedule, and leaves a
folder with every request, a picture, numbers with units, and a verdict.

  aegis run +scenario=failover engine=sim
  aegis sweep +scenario=routed engine=sim 'seed=range(3)' policy=random,prequal

commands
{commands}
  completion       bash or zsh: eval "$(aegis completion bash)"

-m (which `sweep` adds to `run`) measures every combination of the choices
given with commas, and compares the arms; the seed first, so that arms share
seeds. `aegis run` alone lists the scenarios. Keys: `aegis keys [WORD]` says
unit, default, bounds and meaning; `aegis run --help` lists scenarios and
choices, and `aegis run +scenario=NAME --cfg job` all keys with their values.
Results go to results/ in the working folder, and runs to mlflow.db there,
where MLflow is installed.

Exit status
  0    complete and valid
  1    it failed
  2    the configuration is wrong; nothing was started
  3    complete, but the measurement is not valid
  4    complete and valid, but an `expect` does not hold
  130, 143  interrupted
"""
COMPLETION = """\
_aegis() {{
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "{names} completion --help --version" -- "${{COMP_WORDS[1]}}"))
    return
  fi
  case ${{COMP_WORDS[1]}} in
    run | sweep)
      local typed=${{COMP_LINE:0:$COMP_POINT}} choices
      choices=$(COMP_LINE="aegis ${{typed#*${{COMP_WORDS[1]}} }}" aegis run -sc query=bash 2>/dev/null)
      COMPREPLY=($(compgen -o nospace -W "$choices" -- "${{typed##* }}"))
      ;;
    completion) COMPREPLY=($(compgen -W "bash zsh" -- "${{COMP_WORDS[COMP_CWORD]}}")) ;;
    *) COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}")) ;;
  esac
}}
COMP_WORDBREAKS=${{COMP_WORDBREAKS//=/}}
complete -o nospace -o default -F _aegis aegis
"""
SHELLS = {"bash": "", "zsh": "autoload -U +X bashcompinit && bashcompinit\n"}
"""What each shell needs before the script."""


def help_text() -> str:
    """What `aegis --help` prints."""
    return HELP.format(commands="\n".join(f"  {name:16} {command.about}" for name, command in COMMANDS.items()))


def completion(arguments: Sequence[str]) -> int:
    """Print the shell's script."""
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        print(f"aegis completion: give one of {', '.join(SHELLS)}", file=sys.stderr)
        return WRONG
    print(SHELLS[arguments[0]] + COMPLETION.format(names=" ".join(COMMANDS)), end="")
    return 0


def unknown(name: str) -> str:
    """One line on a command that does not exist."""
    near = difflib.get_close_matches(name, [*COMMANDS, "completion"], n=1)
    return f"aegis {name}: no such command; " + (f"did you mean `aegis {near[0]}`?" if near else "see `aegis --help`")


def main() -> int | None:
    """Do what the command line says; return the command's exit status."""
    outlive_the_reader()
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        print(help_text(), end="")
        return 0
    if name in ("-V", "--version"):
        print(f"aegis {__version__}")
        return 0
    if name == "completion":
        return completion(arguments)
    if (command := COMMANDS.get(name)) is None:
        print(unknown(name), file=sys.stderr)
        return WRONG
    if command.extra is not None and (reason := missing(command.extra)) is not None:
        print(f"aegis {name}: {reason}", file=sys.stderr)
        return WRONG
    if sys.path[0] not in ("", os.getcwd()):
        # Installed: packages of the working folder that are called as ours must not stand in for them in the processes
        # that a run starts with `python -m`.
        os.environ.setdefault("PYTHONSAFEPATH", "1")
    sys.argv = [f"aegis {name}", *command.first, *arguments]
    status: int | None = importlib.import_module(command.module).main()
    return status


if __name__ == "__main__":
    sys.exit(main())
