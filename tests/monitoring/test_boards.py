"""Grafana's boards and provisioning by their structure; Grafana itself does not run here."""

import json
import re

import pytest
import yaml

from analysis import boards
from tests.running import ROOT

GRAFANA = ROOT / "monitoring" / "grafana"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
UNITS = {"reqps", "percentunit", "s", "short", "none"}
KINDS = {"timeseries", "stat", "heatmap", "state-timeline"}


def provisioned(kind):
    (path,) = (GRAFANA / "provisioning" / kind).glob("*.yml")
    return yaml.safe_load(path.read_text())


def test_the_datasource_has_a_fixed_uid_and_the_scrape_interval_of_prometheus():
    (source,) = provisioned("datasources")["datasources"]
    assert source["uid"] == "aegis-prometheus" and source["type"] == "prometheus" and source["isDefault"] is True
    scraping = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == scraping["global"]["scrape_interval"] == f"{boards.SCRAPE_S:g}s"


def test_boards_are_provisioned_from_files():
    (provider,) = provisioned("dashboards")["providers"]
    assert provider["type"] == "file" and provider["options"]["path"].startswith("/")


def test_there_are_four_boards_with_their_own_uids_and_titles():
    assert boards.names() == ["experiment", "manager", "replicas", "router"]
    loaded = [boards.load(name) for name in boards.names()]
    for key in ("uid", "title"):
        assert len({board[key] for board in loaded}) == 4
    assert all(board["uid"] == f"aegis-{name}" for board, name in zip(loaded, boards.names(), strict=True))


@pytest.mark.parametrize("name", boards.names())
def test_a_board_is_one_that_grafana_11_reads(name):
    board = boards.load(name)
    assert board["schemaVersion"] >= 39 and board["id"] is None and board["description"]
    assert "${DS_" not in json.dumps(board) and "__inputs" not in board
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 5
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        assert panel["type"] in KINDS
        assert panel["title"] and len(panel["description"]) > 20
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["datasource"] == DATASOURCE and panel["targets"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert target["datasource"] == DATASOURCE and target["expr"] and target["legendFormat"]
            assert not re.search(r"rate\([^)]*\[\d", target["expr"]), "the window must follow the zoom"
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, f"{panel['title']} overlaps"
        taken |= cells


@pytest.mark.parametrize("name", boards.names())
def test_every_variable_is_defined_and_used(name):
    board = boards.load(name)
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus" and variables["datasource"]["type"] == "datasource"
    text = json.dumps([board["panels"], board["annotations"]])
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval"}
    assert used == set(variables)
    assert all(variable["datasource"] == DATASOURCE for variable in variables.values() if variable["type"] == "query")


@pytest.mark.parametrize("name", boards.names())
def test_a_board_shows_one_stack_at_a_time(name):
    board = boards.load(name)
    (variable,) = (each for each in board["templating"]["list"] if each["name"] == "stack")
    assert variable["query"]["query"] == "label_values(aegis_build_info, stack)"
    assert variable["multi"] is variable["includeAll"] is False
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions += [each["expr"] for each in boards.annotations(board)]
    for expression in expressions:
        selectors = re.findall(r"\b(?:aegis[_:]|replica:|up\b|process_|ALERTS)[\w:]*(\{[^}]*\})?", expression)
        assert selectors and all('stack=~"$stack"' in selector for selector in selectors), expression


def test_the_experiment_board_marks_faults_ejections_dead_targets_and_lost_replicas():
    board = boards.load("experiment")
    found = list(boards.annotations(board))
    assert [each["name"] for each in found] == ["Faults", "Ejected", "Down", "Lease ran out"]
    for each in found:
        assert each["datasource"] == DATASOURCE and each["enable"] is True
        # Grafana makes a region of values above zero that are no further apart than the step.
        assert each["step"] == f"{boards.SCRAPE_S:g}s" and each["useValueForTime"] is False
