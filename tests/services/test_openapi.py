"""What the services say of themselves at /openapi.json, held against what they do by Schemathesis."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import services
from services.backend import app as backend_app
from services.backend.settings import ReplicaSettings
from services.manager import app as manager_app
from services.router.openapi import document
from tests.running import AT_MOST_S, ROOT
from tests.services.live import TOKEN, Service, backend, router

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection"
)
"""All that hold of any API, but for `Allow`, in which Starlette names one route's methods only."""
LET_IN = ",unsupported_method,missing_required_header,ignored_auth"
"""Who is refused too often hears 429, whatever else is wrong."""


def held(url, place, checks, token=None, phases="examples,coverage,fuzzing", examples=10):
    """Schemathesis, so many examples an operation and the same ones every time; it leaves its files in `place`."""
    program = Path(sys.executable).with_name("schemathesis")
    arguments = [f"{url}/openapi.json", "--max-examples", str(examples), "--generation-deterministic"]
    arguments += ["--request-timeout", str(AT_MOST_S)]  # a restart is answered when the replica is up
    arguments += ["--phases", phases, "--checks", checks, "--continue-on-failure", "--no-color"]
    if token is not None:
        arguments += ["--header", f"Authorization: Bearer {token}"]
    return subprocess.run(
        [program, "run", *arguments], cwd=place, capture_output=True, text=True, timeout=AT_MOST_S, check=False,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.services.fuzzing", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def agrees(done):
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]


CASES = {
    "no token": (None, None, "examples,coverage"),
    "the token": (TOKEN, TOKEN, "examples,coverage,fuzzing"),
    "a token that the client lacks": (TOKEN, None, "coverage"),
}
"""What the service asks for, what the client has, and Schemathesis' phases: values are drawn where they are let in."""


def test_a_router_does_what_its_document_says(tmp_path):
    # 503 is what `/readyz` is to answer here, and stands in the document; 500 does not.
    checks = (CHECKS + LET_IN).removeprefix("not_a_server_error,")
    with router("--log-level", "error", env={"AEGIS_ADMIN_TOKEN": TOKEN}) as started:
        agrees(held(started.admin, tmp_path, checks, TOKEN, examples=5))
        assert started.said() == ""


@pytest.mark.parametrize("service", ["router", "replica", "manager"])
def test_every_operation_has_a_tag_that_is_explained_a_typed_answer_and_the_document_a_version(service):
    nothing: Any = SimpleNamespace(settings=ReplicaSettings(), deciding=None, counts={}, acts=True)
    pages = {
        "router": lambda: document(asks_for_token=True),
        "replica": lambda: backend_app.build_app(nothing).openapi(),
        "manager": lambda: manager_app.build_app(nothing, nothing, "none").openapi(),
    }
    page = pages[service]()
    assert page["info"]["version"] == services.__version__
    tags = {tag["name"] for tag in page["tags"] if tag["description"]}
    used = set()
    for path, item in page["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            used |= set(operation["tags"])
            for status, answer in operation["responses"].items():
                if status != "204" and status < "300":
                    (content,) = answer["content"].values()
                    assert content["schema"], f"{method} {path} {status}"
    assert used == tags


@pytest.mark.parametrize(("asked", "given", "phases"), CASES.values(), ids=CASES)
def test_a_replica_does_what_its_document_says(tmp_path, asked, given, phases):
    env = {"AEGIS_ADMIN_TOKEN": asked or ""}
    checks = CHECKS + LET_IN if asked == given else CHECKS
    with backend("--demand-mean-ms", 1, "--speed", 100, env=env) as started:
        checks += ",positive_data_acceptance" if asked == given else ""
        agrees(held(started.admin, tmp_path, checks, given, phases))
        assert "Traceback" not in started.said()


@pytest.mark.parametrize(("asked", "given", "phases"), CASES.values(), ids=CASES)
def test_a_manager_does_what_its_document_says(tmp_path, asked, given, phases):
    env = {"AEGIS_ADMIN_TOKEN": asked or ""}
    path = tmp_path / "manager.json"
    checks = CHECKS + LET_IN if asked == given else CHECKS
    scaling = {"min_replicas": 1, "max_replicas": 2}
    path.write_text(json.dumps({"scaling": scaling, "scaler": {"name": "none"}, "replicas": 1}))
    with router(env=env) as front:
        manager = Service(
            "manager", "--port", 0, "--router", front.admin, "--config", path, "--log-dir", tmp_path, env=env
        )
        try:
            agrees(held(manager.url, tmp_path, checks, given, phases))
            assert "Traceback" not in manager.said()
            assert len(list(tmp_path.glob("r*.log"))) <= 2
        finally:
            manager.stop()
            manager.log.close()
