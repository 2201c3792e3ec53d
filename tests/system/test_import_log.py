"""The logs of real proxies: every request is in it once, with what became of it. How long it took is `make verify`'s."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from experiments import import_log
from tests.proxied import PROXIES, Asked, traffic
from tests.running import AT_MOST_S, ROOT

LINE = (
    '192.0.2.7 - - [30/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "c" 1796032800.500 0.100 0.100 127.0.0.1:1\n'
)

COUNT = 60
T0 = 1_796_032_800


def imported(log, folder, *arguments):
    assert import_log.main([str(log), "-o", str(folder), *arguments]) == 0
    return pd.read_parquet(folder / "requests.parquet")


@pytest.mark.parametrize("name", PROXIES)
def test_every_request_is_in_the_log_once_with_its_answer(tmp_path, name, capsys):
    statuses = [200, 200, 404] * (COUNT // 3)
    asked = [Asked(0.02 * n, 0.02, status) for n, status in enumerate(statuses)]
    log, seen = traffic(name, tmp_path / name, asked)
    rows = imported(log, tmp_path / "my-traffic")
    found = capsys.readouterr().out
    assert f": {name} (found), " in found and ", 0 broken" in found
    about = json.loads((tmp_path / "my-traffic" / "import.json").read_text())
    # HAProxy says in the same log that it ends.
    assert set(about["left_out"]) == ({"no request, a word of HAProxy's own"} if name == "haproxy" else set())
    assert len(rows) == COUNT == len(seen)
    assert sorted(rows["status"]) == sorted(each.status for each in seen)
    assert set(rows["upstream"]) == {"u1", "u2"} and set(rows["method"]) == {"GET"}
    assert (rows["taken_s"] >= 0.015).all() and (rows["upstream_s"] <= rows["taken_s"] + 0.0011).all()
    if name != "envoy":  # whose text has none
        assert (rows["attempts"] == 1).all()
    # Each came after the client had sent it and before it had its answer, to the milliseconds that the stamps know.
    came = np.sort(rows["scheduled_s"])
    sent, had = np.sort([each.sent_s for each in seen]), np.sort([each.sent_s + each.taken_s for each in seen])
    assert (sent - came).max() <= (had - came).min() + 0.003


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_a_second_attempt_is_told(tmp_path, name, capsys):
    # One of three upstreams refuses the connection: who comes to it is sent on.
    log, seen = traffic(name, tmp_path / name, [Asked(0.02 * n, 0.005) for n in range(30)], refusing=1)
    rows = imported(log, tmp_path / "my-traffic", "--format", name)
    assert {each.status for each in seen} == {200} == set(rows["status"])
    assert rows["attempts"].max() >= 2 and rows["attempts"].min() == 1
    assert (rows["upstream_s"] >= 0.004).all()


def test_the_command_by_its_name(tmp_path):
    (tmp_path / "access.log").write_text(LINE)
    command = [sys.executable, "-m", "experiments.aegis", "import", str(tmp_path / "access.log"), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "out" / "import.json").read_text())["format"] == "nginx"
    done = subprocess.run([*command[:4], "--help"], cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False)
    assert done.returncode == 0 and "Exit status: 0 imported" in " ".join(done.stdout.split())


OUTSIDE = """
import numpy as np
from experiments.importing import stamps
from experiments.importing.batch import batch_of
from experiments.importing.text import Pattern

LINE = Pattern(r"^at (?P<at>[0-9.]+) for (?P<taken>[0-9.]+)\\s*$")

class Mine:
    name, about = "mine", "the log of my service"

    def sniff(self, head):
        return LINE.share(head.lines)

    def read(self, source):
        for lines in source.blocks():
            found = LINE.find(lines.text)
            columns = {"taken_s": found.number("taken", 1e-3)}
            moments = stamps.unix(found.fields["at"])
            yield batch_of(lines, found.index, moments, columns, is_start=True, resolution_s=1e-3)
"""


def test_a_format_of_ones_own_is_one_file(tmp_path):
    (tmp_path / "plugins" / "readers").mkdir(parents=True)
    (tmp_path / "plugins" / "readers" / "mine.py").write_text(OUTSIDE)
    (tmp_path / "my.log").write_text(f"at {T0}.125 for 80\nno\nat {T0 + 1}.125 for 90\n")
    command = [sys.executable, "-m", "experiments.import_log", str(tmp_path / "my.log"), "-o", str(tmp_path / "out")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False,
        env={**os.environ, "AEGIS_PLUGINS": str(tmp_path / "plugins")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "out" / "import.json").read_text())
    assert about["format"] == about["reader"]["name"] == "mine" and about["requests"] == 2
    assert about["reader"]["file"].endswith("readers/mine.py") and about["broken"]["count"] == 1
