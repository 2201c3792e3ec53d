"""What replicas say of themselves is read where it can be, and costs a request nothing where it cannot."""

import asyncio

import pytest
from aiohttp import web

from services.router.policies import POLICIES
from services.router.policies import create as create_policy
from services.router.reports import probed, report_of
from services.router.wire.messages import Answer
from tests.services.live import backend, client, eventually, json_of, router, until
from tests.services.router.upstreams import upstreams


def answer(**headers):
    made = Answer()
    made.headers = [
        (name.replace("_", "-").encode(),) * 2 + (value.encode("latin-1"),) for name, value in headers.items()
    ]
    return made


def test_a_report_is_read_from_its_headers():
    told = "TEXT application_utilization=0.5, cpu_utilization=0.9,rps_fractional=45.5,eps=1, named_metrics.x=7"
    report = report_of(answer(x_aegis_in_flight="3", x_aegis_service_ms="12.5", endpoint_load_metrics=told))
    assert (report.in_flight, report.service_s) == (2, 0.0125)  # without the answered one
    assert (report.utilisation, report.rps, report.eps) == (0.5, 45.5, 1.0)
    assert report_of(answer(endpoint_load_metrics="TEXT cpu_utilization=0.9")).utilisation == 0.9


@pytest.mark.parametrize("value", ["", "TEXT", "TEXT =", "TEXT rps_fractional=nan", "TEXT rps_fractional=-1",
                                   "TEXT rps_fractional=1e400", "JSON {}", "BIN \xff", "TEXT rps_fractional=1=2"])  # fmt: skip
def test_what_cannot_be_read_is_not_said(value):
    report = report_of(answer(endpoint_load_metrics=value, x_aegis_in_flight=value, x_aegis_service_ms=value))
    assert (report.in_flight, report.service_s, report.utilisation, report.rps, report.eps) == (None,) * 5


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"in_flight": 2, "latency_ms": 50}', (2, 0.05)),
        (b'{"in_flight": 2, "latency_ms": null}', (2, None)),
        (b'{"in_flight": 2, "latency_ms": "x"}', (2, None)),
        (b'{"in_flight": -1}', None),
        (b'{"in_flight": true}', None),
        (b"[]", None),
        (b"no", None),
        (b"[" * 4000, None),
    ],
)
def test_a_probes_answer_is_read_or_is_none(body, found):
    assert probed(body) == found


def test_no_other_policy_is_asked_for_probes_or_told_of_reports():
    made = {name: create_policy(name, {}, None) for name in POLICIES.files()}
    assert {name for name, policy in made.items() if hasattr(policy, "probes")} == {"prequal"}
    assert {name for name, policy in made.items() if hasattr(policy, "on_report")} == {"c3", "weighted_utilisation"}


@pytest.fixture(scope="module", params=["prequal", "c3"])
def fleet(request):
    with router("--policy", request.param) as front, backend("--router", front.admin, "--id", "r1") as one:
        with backend("--router", front.admin, "--id", "r2") as two:
            yield front, (one, two), request.param


async def test_real_replicas_are_probed_and_their_reports_arrive(fleet):
    front, replicas, name = fleet
    async with client() as session:
        for id_ in ("r1", "r2"):
            await until(session, front.admin, id_, "ready")
        for _ in range(30):
            async with session.get(f"{front.url}/work", headers={"X-Aegis-Demand-Ms": "5"}) as response:
                assert response.status == 200
                assert response.headers["Endpoint-Load-Metrics"].startswith("TEXT application_utilization=")
        stats = await json_of(session, f"{front.admin}/stats")
        probe = await json_of(session, f"{replicas[0].url}/probe")
    if name == "prequal":
        assert stats["picks"].get("cold", 0) + stats["picks"].get("hot", 0) > 0
        assert stats["probes_total"] > 0 == stats["probes_unanswered_total"]
        assert probe["latency_ms"] is None or probe["latency_ms"] >= 5
    else:
        assert stats["picks"]["ranked"] > 0 == stats["probes_total"]


async def test_a_replica_that_does_not_answer_its_probe_costs_requests_nothing():
    asked = []

    async def answers(request):
        if request.path == "/probe":
            asked.append(request)
            await asyncio.sleep(3600)
        return web.Response(text="ok")

    with router("--policy", "prequal") as front:
        async with client() as session, upstreams(front, session, answers, answers):
            for _ in range(20):
                async with session.get(f"{front.url}/") as response:
                    assert await response.text() == "ok"
            stats = await json_of(session, f"{front.admin}/stats")
            under_way = stats["probes_total"] - stats["probes_unanswered_total"]
            assert stats["probes_total"] >= 2 and under_way <= 2  # one at a time each

            async def given_up():
                stats = await json_of(session, f"{front.admin}/stats")
                return stats["probes_unanswered_total"] == stats["probes_total"] >= len(asked)

            await eventually(given_up, "the silent probes are given up")
            assert (await json_of(session, f"{front.admin}/stats"))["picks"] == {"drawn": 20}
