"""Whoever has registered with the router, started by others: the manager watches and recommends."""

import argparse
from typing import Any

import aiohttp

from services.manager.engines import EngineError, Running


class FixedEngine:
    """Starts and stops nobody."""

    name = "fixed"
    acts = False

    @staticmethod
    def add_options(group: argparse._ArgumentGroup) -> None:
        """None."""

    @classmethod
    async def create(cls, arguments: argparse.Namespace, replica: dict[str, Any]) -> "FixedEngine":
        """It needs the router alone."""
        return cls(arguments.router)

    def __init__(self, router: str) -> None:
        """`router` is the router's admin URL."""
        self._url = router.rstrip("/") + "/replicas"

    async def running(self) -> list[Running]:
        """Those that the router knows."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0)) as session,
                session.get(self._url) as response,
            ):
                replicas = (await response.json())["replicas"]
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError) as error:
            raise EngineError(f"the router does not answer at {self._url} ({type(error).__name__})") from error
        states = {"draining": "draining", "ejected": "running", "pending": "running", "ready": "running"}
        return [Running(r["id"], r["url"], r["admin_url"] or r["url"], None, states[r["state"]]) for r in replicas]

    async def start(self, id_: str) -> None:
        """Nobody can be started."""
        raise EngineError(f"{id_} cannot be started: the number of replicas is fixed")

    async def drain(self, id_: str) -> None:
        """Nobody can be drained."""
        raise EngineError(f"{id_} cannot be drained: the number of replicas is fixed")

    async def stop_process(self, id_: str) -> None:
        """Nobody can be stopped."""
        raise EngineError(f"{id_} cannot be stopped: the number of replicas is fixed")

    async def close(self) -> None:
        """Nothing is held."""
