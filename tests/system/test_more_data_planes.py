"""Traefik, Caddy and programs of one's own in the router's place, with real processes."""

import asyncio
import dataclasses
import shutil
import sys

import pandas as pd
import pytest

from experiments.data_planes import DATA_PLANES
from experiments.live.standing_in import StandIn
from tests.experiments.test_more_data_planes import custom
from tests.ports import free_row
from tests.proxied import unavailable
from tests.running import AT_MOST_S, BUSY, SHORT, events, job_of, manifest, metrics, run
from tests.system.test_data_planes import living, needed, standing
from tests.system.test_export import NO_EJECTION, Checks, behind

IN_GO = ("traefik", "caddy")
FRONTENDS = """\
defaults
  mode http
  timeout connect {{ timeouts.connect_s | ms }}ms
  timeout server {{ timeouts.attempt_s | ms }}ms
  timeout client 30s
  retries {{ retry.max_attempts - 1 }}
  option redispatch 1
frontend data
  bind {{ host }}:{{ port }}
  default_backend replicas
backend replicas
  balance {{ algorithm or "roundrobin" }}
  option httpchk GET /readyz
{% for each in replicas %}
  server {{ each.id }} {{ each.host }}:{{ each.port }} check inter {{ health.interval_s | ms }}ms
{% endfor %}
"""


def haproxy():
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        unavailable("haproxy", DATA_PLANES.find("haproxy"))
    return program


COMMON = (*SHORT, *BUSY, "faults=[{at_s: 2, action: kill, target: r2, for_s: 1.5}]")
"""A replica is killed and comes back."""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Both once."""
    for name in IN_GO:
        needed(name)
    folder = tmp_path_factory.mktemp("arms") / "sweep"
    done = run("-m", "+scenario=routed", *COMMON, f"router={','.join(IN_GO)}", f"hydra.sweep.dir={folder}")
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return folder


@pytest.mark.parametrize(("number", "name"), list(enumerate(IN_GO)), ids=IN_GO)
def test_a_run_says_which_proxy_it_was_and_that_it_took_the_dead_one_out(sweep, number, name):
    folder = job_of(sweep, number)
    about = manifest(folder)["data_plane"]
    assert (about["name"], about["algorithm"]) == (name, DATA_PLANES.find(name).algorithms[0])
    assert about["version"][0].isdigit() and any("begins" in each for each in about["otherwise"])
    rows = pd.read_parquet(folder / "requests.parquet")
    served = rows[rows["outcome"] == "ok"]
    assert len(served) > 0.5 * len(rows) and served["replica"].isin(["r1", "r2"]).all()
    told = [(e["event"], e.get("replica")) for e in events(folder) if e["source"] == "router"]
    assert ("readmitted", "r1") in told
    landed = next(e["t_s"] for e in events(folder) if e["event"] == "fault_injected")
    later = [e for e in events(folder) if e.get("replica") == "r2" and e["t_s"] > landed]
    assert {"ejected", "expired", "registered"} & {e["event"] for e in later}, later
    numbers = metrics(folder)
    assert numbers["cpu_router_cores"] > 0 and numbers["attempts_per_request"] is None


def test_a_program_of_ones_own_runs_before_replicas_at_known_ports(tmp_path):
    path, folder = tmp_path / "haproxy.cfg.j2", tmp_path / "run"
    path.write_text(FRONTENDS, encoding="utf-8")
    first = free_row(2)
    done = run(
        "+scenario=routed", *COMMON, "router=custom", f"router.command='{haproxy()} -db -f {{config}}'",
        f"router.template={path}", f"router.version_command='{haproxy()} -v'", f"router.replica_port={first}",
        "router.algorithm=leastconn", f"hydra.run.dir={folder}",
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stdout + done.stderr
    about = manifest(folder)["data_plane"]
    assert (about["name"], about["algorithm"], about["tells"]) == ("custom", "leastconn", False)
    assert about["version"].startswith("HAProxy version ") and "router.ejection, router.hedging" in about["otherwise"][1]
    [configured] = (folder / "logs" / "data_plane").glob("config*")
    text = configured.read_text()
    urls = {e["url"] for e in events(folder) if e["event"] == "registered"}
    assert len(urls) == 2 and all(f" {url.removeprefix('http://')} check inter 500ms\n" in text for url in urls)
    assert "balance leastconn\n" in text
    assert (pd.read_parquet(folder / "requests.parquet")["outcome"] == "ok").mean() > 0.5
    assert metrics(folder)["detection_s"] is None


async def test_nothing_is_left_of_a_proxy_whose_word_cannot_be_used(tmp_path, monkeypatch):
    async def look(*_):
        raise KeyError("in_rotation")

    monkeypatch.setattr(DATA_PLANES.find("custom"), "look", look)
    command = f"{sys.executable} -m http.server --bind 127.0.0.1 {{port}} --directory {{config}}"
    config = custom(tmp_path, command=command)
    for name in ("logs", "raw"):
        (tmp_path / name).mkdir()
    it = StandIn(config, tmp_path / "logs", tmp_path / "raw", lambda *_, **__: None)
    try:
        await it.start(AT_MOST_S)
        group = it.pid
        async with asyncio.timeout(AT_MOST_S):
            await asyncio.wait([it._watching])
        with pytest.raises(KeyError):
            await it.close()
        assert not living(group) and not list((tmp_path / "raw").iterdir())
    finally:
        await it.stop()


@pytest.mark.parametrize("name", IN_GO)
async def test_who_drains_or_has_gone_is_asked_nothing_more_and_who_comes_is_asked(tmp_path, name):
    async with standing(name, tmp_path, 3, algorithm={"traefik": "wrr", "caddy": "round_robin"}[name]) as it:
        await it.plane.began(it.process, it.front)
        await it.up(0, 1, 2)
        first, second, third = it.members
        drains = (dataclasses.replace(first, draining=True), second, third)
        for members, silent in (((first, second), 2), (drains, 0), ((first, third), 1)):
            await it.plane.change(it.process, it.front, members)
            it.server.asked.clear()

            async def all_asked(silent=silent):
                assert (await it.ask())[0] == 200
                return all(it.server.asked[it.ports[number]] for number in {0, 1, 2} - {silent})

            await it.until(all_asked)
            assert it.server.asked[it.ports[silent]] == 0
        await it.plane.change(it.process, it.front, ())
        assert (await it.ask())[0] == 503, "nobody is there"


@pytest.mark.parametrize("name", IN_GO)
@pytest.mark.parametrize("cause", ["health_check", "consecutive_failures"])
async def test_it_says_who_is_out_and_why(tmp_path, name, cause):
    is_checked = cause == "health_check"
    settings = {
        "health": {"enabled": is_checked, "interval_s": 0.1}, "ejection": {"enabled": not is_checked, "base_s": 20.0},
        "retry": {"max_attempts": 1},
    }  # fmt: skip
    async with standing(name, tmp_path, 2, algorithm=DATA_PLANES.find(name).algorithms[1], **settings) as it:
        await it.plane.began(it.process, it.front)
        await it.up(0, 1)
        await it.until(it.answers)

        async def all_in():
            return all((await it.looked()).values())

        await it.until(all_in)
        if is_checked:
            it.server.is_ready[it.ports[0]] = False
        else:
            it.server.says[it.ports[0]] = 500

        async def is_out():
            await it.ask()
            return not (await it.looked())["r1"]

        await it.until(is_out)
        seen = await it.plane.look(it.front, it.members)
        assert (seen["r1"].cause, seen["r2"].in_rotation) == (cause, True)


def test_caddy_adds_failed_checks_up_over_those_that_passed_between(tmp_path):
    """Caddy #6152 asked for failed checks in a row; what is counted is set back where the state changes alone
    (healthchecks.go, `resetHealth`): with 2, the second failed check takes out, three passed ones after the first."""
    async def play(ask, seen):
        checks = Checks(fail=(1, 5))
        seen.ready = checks.ready
        await checks.come(1, ask)
        seen.asked.clear()
        await checks.come(5, ask)
        before = "".join(str(server) for server, *_ in seen.asked)
        assert max(map(len, before.split("0"))) <= 1, before
        after = await checks.seen_after(ask, seen)
        assert set(after) == {"1"}, after

    needed("caddy")
    behind("caddy", tmp_path, play, **NO_EJECTION, health={"enabled": True, "interval_s": 0.2, "timeout_s": 60.0})


async def test_whom_caddys_checks_keep_out_is_out_after_a_change_as_well(tmp_path):
    """Its counts of failed checks lie with the address and outlive a configuration, in which all are up at first (Caddy
    #7625); a new one's first check is made at once (healthchecks.go, `activeHealthChecker`)."""
    async with standing("caddy", tmp_path, 3, algorithm="round_robin", health={"interval_s": 0.1}, **NO_EJECTION) as it:
        await it.up(0, 1, 2)
        first, second, third = it.members

        async def is_out():
            return not (await it.looked())["r1"]

        async def has_failed_more():
            return it.server.checked[it.ports[0]] >= 4

        it.server.is_ready[it.ports[0]] = False
        await it.until(is_out)
        it.server.checked.clear()
        await it.until(has_failed_more)
        await it.plane.change(it.process, it.front, (first, second, dataclasses.replace(third, draining=True)))
        await it.until(is_out)
        await it.plane.change(it.process, it.front, (first, second))
        assert await is_out(), "who leaves after it has drained changes nothing"
        it.server.asked.clear()
        assert [(await it.ask())[0] for _ in range(6)] == [200] * 6
        assert it.server.asked[it.ports[0]] == 0
        it.server.is_ready[it.ports[0]] = True

        async def is_back():
            return not await is_out()

        await it.until(is_back)


async def test_whom_traefik_had_out_is_in_after_a_change_also_where_nobody_is_checked(tmp_path):
    """All are up in a new configuration, and the timer of the old one, which would set its gauge back, has ended with it
    (healthcheck.go, `PassiveServiceHealthChecker`)."""
    settings = {
        "health": {"enabled": False}, "retry": {"max_attempts": 1},
        "ejection": {"consecutive_failures": 1, "base_s": 600.0, "max_s": 600.0},
    }  # fmt: skip
    async with standing("traefik", tmp_path, 3, algorithm="wrr", **settings) as it:
        await it.plane.began(it.process, it.front)
        await it.up(0, 1, 2)
        first, second, third = it.members

        async def is_out():
            await it.ask()
            return not (await it.looked())["r1"]

        async def is_asked():
            await it.ask()
            return it.server.asked[it.ports[0]] > 0

        await it.until(it.answers)
        it.server.says[it.ports[0]] = 500
        await it.until(is_out)
        it.server.says[it.ports[0]] = 200
        await it.plane.change(it.process, it.front, (first, second, dataclasses.replace(third, draining=True)))
        assert await it.looked() == {"r1": True, "r2": True, "r3": True}
        it.server.asked.clear()
        await it.until(is_asked)
        it.server.says[it.ports[0]] = 500
        await it.until(is_out)
        await it.plane.change(it.process, it.front, (first, second))
        assert await is_out(), "who leaves after it has drained changes nothing"
