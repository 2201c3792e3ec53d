"""What promtool says of configuration and rules."""

import re
import subprocess

import pytest
import yaml

from tests.running import ROOT
from tests.system.browsing import binary

FOLDER = ROOT / "monitoring" / "prometheus"


def promtool(*arguments):
    return subprocess.run(
        [binary("promtool", "prometheus"), *arguments],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_has_nothing_to_complain_about(arguments):
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


@pytest.mark.parametrize(("given", "stack"), [({"PROJECT": "mine"}, "mine"), ({"PROJECT": "mine", "STACK": "blue"}, "blue")])
def test_in_compose_every_series_says_of_which_project_it_is(tmp_path, given, stack):
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["prometheus"]
    (command,) = service["command"]
    prepare, _, started = command.replace("$$", "$").partition(" && exec ")
    prepare = prepare.replace("/etc/prometheus", str(FOLDER)).replace("/tmp/prometheus.yml", str(tmp_path / "made.yml"))
    subprocess.run([*service["entrypoint"], prepare], env=given, check=True, timeout=60)
    made = yaml.safe_load((tmp_path / "made.yml").read_text())
    assert started.startswith("prometheus --config.file=/tmp/prometheus.yml ")
    router, manager, replicas = made["scrape_configs"]
    assert [job["static_configs"][0]["labels"]["stack"] for job in (router, manager)] == [stack] * 2
    assert replicas["relabel_configs"][-1] == {"target_label": "stack", "replacement": stack}
    assert promtool("check", "config", str(tmp_path / "made.yml")).returncode == 0


def test_every_rule_is_about_one_stack():
    for rule in rules():
        for grouped in re.findall(r"\b(?:sum|min|max|count|avg)\b *(by *\([^)]*\))?", rule["expr"]):
            assert "stack" in grouped, rule["expr"]


def rules():
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_is_tested_says_what_it_means_and_is_documented():
    tested = (FOLDER / "rules_test.yml").read_text()
    documented = (ROOT / "docs" / "monitoring.md").read_text()
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) > 5
    for alert in alerts:
        assert f"alertname: {alert['alert']}" in tested
        assert f"| `{alert['alert']}` |" in documented
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}


def test_every_alert_leads_to_its_own_page_and_no_page_is_about_an_alert_that_is_gone():
    alerts = [rule for rule in rules() if "alert" in rule]
    for alert in alerts:
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{alert['alert'].lower()}"
    pages = re.split(r"^## ", (ROOT / "docs" / "runbooks.md").read_text(), flags=re.MULTILINE)[1:]
    assert [page.split("\n")[0] for page in pages] == [alert["alert"] for alert in alerts]
    assert all(page.count("\n- ") >= 2 for page in pages)  # what to look at, what to do


def test_every_recorded_series_is_read_by_an_alert_or_a_board():
    readers = [rule["expr"] for rule in rules() if "alert" in rule]
    readers += [path.read_text() for path in (ROOT / "monitoring" / "grafana" / "dashboards").glob("*.json")]
    for rule in rules():
        if "record" in rule:
            assert any(rule["record"] in reader for reader in readers), rule["record"]
