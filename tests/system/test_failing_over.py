"""What Traefik, Caddy and nginx do when a server fails, as their documents and maintainers say it, in numbers."""

import asyncio
import collections
import contextlib
import os
import subprocess

import pytest

from experiments.data_planes import DATA_PLANES, Front, local
from services.router.settings import RouterSettings
from tests.ports import free_ports
from tests.proxied import listens, unavailable
from tests.running import AT_MOST_S
from tests.system.test_export import COUNT, NO_EJECTION, Checks, behind

IN_GO = ("traefik", "caddy")


@pytest.mark.parametrize("name", IN_GO)
def test_a_post_that_never_left_goes_elsewhere_and_one_whose_connection_was_cut_does_not(tmp_path, name):
    """The table of caddy #7569 (dial error: any method; transport error: those that match) and caddy #6259; Traefik's
    middleware tries again whatever was not written yet (its retry.go, `wroteRequest`), and a 502 of what is idempotent."""

    async def play(ask, seen):
        assert [await ask("GET", f"/{n}", cuts=True) for n in range(COUNT)] == [200] * COUNT
        seen.asked.clear()
        answers = collections.Counter([await ask("POST", f"/{n}", cuts=True, body=b"x") for n in range(COUNT)])
        assert answers == {200: COUNT // 2, 502: COUNT // 2}
        assert len(seen.asked) == COUNT, "none was sent twice"
        await seen.stop(0)
        assert [await ask("POST", body=b"x") for _ in range(COUNT)] == [200] * COUNT

    behind(name, tmp_path, play, **NO_EJECTION)


@pytest.mark.parametrize("name", ["nginx", *IN_GO])
def test_a_dead_server_costs_as_many_requests_as_failures_take_it_out(tmp_path, name):
    """Each document says so: `max_fails` of nginx and Caddy, `maxFailedAttempts` of Traefik (5 here, and no retries)."""

    async def play(ask, seen):
        await seen.stop(0)
        answers = collections.Counter([await ask("POST", body=b"x") for _ in range(4 * COUNT)])
        assert answers == {502: 5, 200: 4 * COUNT - 5}

    behind(name, tmp_path, play, retry={"max_attempts": 1}, ejection={"consecutive_failures": 5, "base_s": 20.0})


@pytest.mark.parametrize(("name", "policy"), [("traefik", "least_request"), ("caddy", "random")])
def test_a_retry_may_go_to_the_server_that_has_just_failed(tmp_path, name, policy):
    """Traefik #2723 and #11306; Caddy's `retry_match`: the next host according to the policy. Two servers of which one is
    dead, three attempts each drawn anew: an eighth is lost, 100 of 800 with a standard deviation of 9.4."""

    async def play(ask, seen):
        await seen.stop(0)
        answers = collections.Counter([await ask() for _ in range(800)])
        assert set(answers) == {200, 502} and 100 - 5 * 9.4 < answers[502] < 100 + 5 * 9.4

    behind(name, tmp_path, play, policy=policy, **NO_EJECTION, retry={"max_attempts": 3})


@pytest.mark.parametrize(("name", "is_out"), [("traefik", True), ("caddy", False)])
def test_one_failed_check_takes_a_server_out_of_traefik_and_not_of_caddy(tmp_path, name, is_out):
    """Traefik #12390 wants a threshold that it has not; Caddy has `health_fails` since #6152, here 2."""

    async def play(ask, seen):
        checks = Checks(fail=(1,))
        seen.ready = checks.ready
        await checks.come(1, ask)
        servers = await checks.seen_after(ask, seen)
        longest = max(len(run) for run in servers.split("0"))
        assert set(servers) == {"1"} if is_out else longest <= 1, servers

    behind(name, tmp_path, play, **NO_EJECTION, health={"enabled": True, "interval_s": 0.5, "timeout_s": 60.0})


@pytest.mark.parametrize("name", IN_GO)
def test_an_attempt_is_given_up_after_its_time(tmp_path, name):
    async def play(ask, seen):
        assert await ask(waits=True) == 504
        assert [path for _, _, path, _ in seen.asked] == ["/work"]
        seen.go.set()

    behind(name, tmp_path, play, retry={"max_attempts": 1}, timeouts={"attempt_s": 0.1})


@pytest.mark.parametrize("name", IN_GO)
def test_it_ends_when_it_is_told_and_has_left_nothing_at_home(tmp_path, name):
    folder, home = tmp_path / "front", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    plane, [port, replica] = DATA_PLANES.create(name, {}), free_ports(2)
    words = plane.command(Front(port, local([replica]), RouterSettings(), "", folder))
    if words is None:
        unavailable(name, plane)
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, cwd=home, env={**os.environ, "HOME": str(home)})
    try:
        asyncio.run(listens(port, process))
        process.terminate()
        assert process.wait(AT_MOST_S) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert list(home.iterdir()) == []
