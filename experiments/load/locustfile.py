"""Locust's side of the load. With AEGIS_LOAD set it replays a schedule open-loop (that is what is measured);
without it, the web UI offers closed-loop users who think between requests."""

import os
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import gevent
from locust import FastHttpUser, User, events, task

from experiments.load.client import Answer
from experiments.load.sender import LoadConfig, Replay
from services.descriptors import raise_limit

if path := os.environ.get("AEGIS_LOAD"):
    config = LoadConfig.read(path)
    share = config.read_share()

    class OpenLoopUser(User):
        """The single user of a generator process: it is the dispatcher."""

        @task
        def replay(self) -> None:
            """Replay this process' share of the schedule, then end Locust."""
            replay = Replay(config, share, self._report)
            # Outside this greenlet: Locust kills its users first when it is told to end.
            worker = gevent.spawn(replay.run)

            def finish(**_: Any) -> None:  # noqa: ANN401
                """A signal came: send nothing more, write the rows, only then quit."""
                replay.stop("interrupted")
                worker.join()

            events.quitting.add_listener(finish)  # type: ignore[no-untyped-call]
            worker.join()
            if worker.exception is not None:  # gevent has printed it
                os._exit(1)
            gevent.spawn(self.environment.runner.quit)
            gevent.sleep(60)

        def _report(self, latency_s: float, answer: Answer, method: str) -> None:
            """Tell Locust's own statistics the latency from the scheduled moment."""
            failure = None if answer.outcome == "ok" else RuntimeError(answer.outcome)
            self.environment.events.request.fire(
                request_type=method,
                name="/work",
                response_time=latency_s * 1e3,
                response_length=0,
                exception=failure,
                context={},
            )

else:

    @events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
    def _arguments(parser: Any) -> None:  # noqa: ANN401
        """What the web UI's form offers beside the number of users."""
        parser.add_argument("--think-time-s", type=float, default=1.0, help="Mean pause of a user between requests (s)")
        parser.add_argument("--demand-mean-ms", type=float, default=50.0, help="Mean service demand of a request (ms)")

    raise_limit()

    class ClosedLoopUser(FastHttpUser):
        """Asks, waits for the answer, thinks (exponential), asks again: more users, more load."""

        def wait_time(self) -> float:
            """The pause before the next request, in seconds."""
            mean = float(self.environment.parsed_options.think_time_s)
            return random.expovariate(1 / mean) if mean > 0 else 0.0

        @task
        def work(self) -> None:
            """One request; its demand is drawn, exponential."""
            mean = float(self.environment.parsed_options.demand_mean_ms)
            demand = random.expovariate(1 / mean) if mean > 0 else 0.0
            self.client.get("/work", headers={"X-Aegis-Demand-Ms": f"{min(demand, 60_000):.3f}"}, name="/work")
