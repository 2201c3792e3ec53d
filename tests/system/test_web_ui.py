"""A session of Locust's web UI: the faults that were asked for land in it, and what Locust says of it is kept."""

import csv
import re
import signal
import urllib.parse
import urllib.request

from tests.ports import free_port
from tests.running import AT_MOST_S, SHORT, events, manifest, processes_of, start, wait_for

FAULT = "faults=[{at_s: 2, action: kill, target: r2, for_s: 1}]"


def told(folder):
    return [event["event"] for event in events(folder)] if (folder / "events.jsonl").exists() else []


def rows(path):
    return list(csv.DictReader(path.open())) if path.exists() else []


def test_a_session_of_the_web_ui_plays_the_faults_and_keeps_locusts_report(tmp_path):
    process = start(
        "+scenario=routed", *SHORT, FAULT, "load.ui=true", f"load.ui_port={free_port()}", f"hydra.run.dir={tmp_path}"
    )
    def counted():
        return next((int(row["Request Count"]) for row in rows(stats) if row["Name"] == "/work"), 0)

    stats = tmp_path / "locust" / "load_stats.csv"
    try:
        said: list[str] = []
        while not (found := re.findall(r"web UI: (http://\S+)", said[-1] if said else "")):
            said.append(process.stdout.readline())
            assert said[-1], said
        url = found[0]
        form = urllib.parse.urlencode({"user_count": 2, "spawn_rate": 2, "think_time_s": 0.1, "demand_mean_ms": 5})
        urllib.request.urlopen(f"{url}/swarm", form.encode(), timeout=30).close()
        wait_for(lambda: "fault_healed" in told(tmp_path), "the fault has landed and was healed")
        wait_for(lambda: counted() > 10, "Locust has counted some requests")
        process.send_signal(signal.SIGINT)
        # Not communicate(): it would lose what stands in the buffer that readline() has filled.
        printed = process.stdout.read()
        process.wait(AT_MOST_S)
    finally:
        process.kill()
    printed = "".join(said) + printed
    assert process.returncode == 0, printed
    assert "2 s from now: kill on r2 for 1 s" in printed
    assert "fault injected: kill on r2" in printed and "fault healed: kill on r2" in printed
    assert told(tmp_path).count("fault_injected") == 1
    assert "/work" in (tmp_path / "locust" / "report.html").read_text()
    assert counted() > 10
    assert manifest(tmp_path)["exit_reason"] == "interrupted"
    assert processes_of(tmp_path) == []
