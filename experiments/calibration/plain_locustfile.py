"""Locust as it is usually run, closed-loop at `constant_throughput`: what the open loop is measured beside."""

import os

from locust import FastHttpUser, constant_throughput, task


class PlainUser(FastHttpUser):
    """One user, who asks AEGIS_PLAIN_RPS times a second as far as its answers let it."""

    wait_time = constant_throughput(float(os.environ["AEGIS_PLAIN_RPS"]))

    @task
    def work(self) -> None:
        """One request."""
        self.client.get("/work")
