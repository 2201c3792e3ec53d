"""`aegis capacity` with real processes: a probe is a run that stays, and who is interrupted leaves nothing running."""

import json
import signal
import subprocess
import sys

from record.files import read_manifest
from tests.running import ROOT, descendants, is_alive, wait_for

LIVE = [
    "+scenario=routed", "workload.duration_s=30", "workload.warmup_s=1", "capacity.max_replicas=1", "capacity.seeds=3",
    "load.force=true",
]  # fmt: skip


def test_a_live_probe_is_kept_with_its_run_and_an_interrupted_search_leaves_nobody(tmp_path):
    path, kept = tmp_path / "curve.json", tmp_path / "curve" / "probes.jsonl"
    command = [sys.executable, "-m", "experiments.capacity", *LIVE, "-o", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: (kept.exists() and kept.read_text().endswith("\n")) or process.poll() is not None, 200)
    assert process.poll() is None, process.communicate()[0]
    started = wait_for(lambda: descendants(process), 60)  # of the next probe
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 130, told
    wait_for(lambda: not any(map(is_alive, started)), 60)
    first = json.loads(kept.read_text().splitlines()[0])
    manifest = read_manifest(tmp_path / "curve" / "runs" / f"replicas=1,rate_rps={first['rate_rps']:g},seed=1")
    assert manifest["exit_reason"] == "complete" and manifest["config"]["replicas"] == 1
    assert manifest["config"]["workload"]["rate_rps"] == first["rate_rps"]
    assert first["requests"] > 0 and (first["valid"] or first["reasons"])
    assert not path.exists()
