"""The files at the top of the repository that name a version, a limit or a command: they say what is so."""

import json
import re
import subprocess
import tomllib

import pytest
import yaml

from record import __version__
from services.backend.settings import MAX_DEMAND_MS
from services.door.gate import BODY_DEADLINE_S, MAX_BODY_BYTES
from services.door.head_limit import MAX_HEAD_BYTES
from services.router.membership import MAX_REPLICAS
from services.router.settings import TimeoutSettings
from services.router.wire.client import KEEPALIVE_S
from services.router.wire.messages import MAX_HEAD_BYTES as MAX_PROXIED_HEAD_BYTES
from services.router.wire.messages import MAX_HEADERS
from services.router.wire.server import RESERVED
from tests.running import ROOT

HEADING = re.compile(r"^## (\d+)\.(\d+)\.(\d+) \((unreleased|\d{4}-\d\d-\d\d)\)$", re.MULTILINE)


def entries():
    """(version, date or `unreleased`) of the changelog, the newest first."""
    found = HEADING.findall((ROOT / "CHANGELOG.md").read_text())
    return [(tuple(map(int, entry[:3])), entry[3]) for entry in found]


def tags():
    done = subprocess.run(["git", "tag", "--list", "v*"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {tuple(map(int, tag[1:].split("."))) for tag in done.stdout.split() if re.fullmatch(r"v\d+\.\d+\.\d+", tag)}


def test_the_changelog_begins_with_the_version_that_the_package_has():
    assert ".".join(map(str, entries()[0][0])) == __version__
    assert len(entries()) == len(re.findall("^## ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE))
    versions = [version for version, _ in entries()]
    assert versions == sorted(set(versions), reverse=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "record.__version__"}


def test_what_is_tagged_has_its_date_and_only_the_newest_has_none():
    known = dict(entries())
    assert {known.get(tag, "missing") for tag in tags()} & {"missing", "unreleased"} == set()
    assert [version for version, date in entries()[1:] if date == "unreleased"] == []


ROOT_KEYS = {
    "abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi", "identifiers", "keywords",
    "license", "license-url", "message", "preferred-citation", "references", "repository", "repository-artifact",
    "repository-code", "title", "type", "url", "version",
}  # fmt: skip
"""Of the schema of the Citation File Format 1.2.0, which allows no others and demands four."""


def test_the_citation_is_valid_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"authors", "cff-version", "message", "title"} <= citation.keys() <= ROOT_KEYS
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert citation["authors"] and all(author["name"] for author in citation["authors"])
    assert (citation["version"], citation["license"]) == (__version__, project["license"])
    assert citation["keywords"] == project["keywords"]
    assert citation["title"].lower() == f"aegis: {project['description']}".lower()
    dated = entries()[0][1]
    assert citation.get("date-released") == (None if dated == "unreleased" else dated)


def test_the_dev_container_is_made_of_what_there_is():
    about = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    image = (ROOT / ".devcontainer" / about["build"]["dockerfile"]).read_text()
    make, target = about["postCreateCommand"].split()
    assert make == "make"
    done = subprocess.run([make, "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"useradd --create-home --shell /bin/bash {about['remoteUser']}" in image
    assert {str(port) for port in about["forwardPorts"]} == about["portsAttributes"].keys()
    needed = re.findall(r"missing\+=\(([^)]*)\)", (ROOT / ".ci" / "run").read_text())
    without_docker = {name for names in needed for name in names.split() if "docker" not in names}
    assert without_docker and [name for name in without_docker if name not in image.split()] == []
    base = re.search(r"^FROM (\S+)$", image, re.MULTILINE)
    assert base is not None and f"ARG PYTHON={base[1]}" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_what_these_pages_link_and_tell_to_run_exists(name):
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\(((?!https?:)[^)#\s]+)", text):
        assert (ROOT / target).exists(), target
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    assert (
        set(re.findall(r"^make ([a-z]+)", shown, re.MULTILINE)) | set(re.findall(r"`make ([a-z]+)`", text)) <= targets
    )


def test_the_limits_that_are_told_are_those_that_are_kept():
    text = (ROOT / "SECURITY.md").read_text()
    told = {
        line.split("|")[1].strip(): line.split("|")[2].strip() for line in text.splitlines() if line.startswith("|")
    }
    head = f"{MAX_PROXIED_HEAD_BYTES:,} bytes, {MAX_HEADERS} headers"
    assert told["router: request line and headers, of a request and of an answer"] == head
    assert told["router: a head, from its first byte on"] == f"{TimeoutSettings().head_s:g} s (`timeouts.head_s`)"
    assert told["replica, manager: a request's whole head"].startswith(f"{MAX_HEAD_BYTES:,} bytes")
    body = f"{MAX_BODY_BYTES:,} bytes, within {BODY_DEADLINE_S:g} s"
    assert told["body of a change (admin ports, `/faults`)"] == body
    assert told["replicas that the router knows"] == f"{MAX_REPLICAS:,}"
    assert f", {RESERVED} of them kept back" in told["clients of the router's data port"]
    assert told["an idle client of the router"] == f"{KEEPALIVE_S:g} s"
    assert told["demand that a request may name (`X-Aegis-Demand-Ms`)"] == f"{MAX_DEMAND_MS:,.0f} ms"
