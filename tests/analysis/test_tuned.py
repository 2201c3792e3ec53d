"""What tuning chose and bought, in words."""

import json

import pytest

from analysis.standings.tuned import sentences
from record.files import FolderError

KEPT = {"arm": "nginx", "tries": 3, "grid": 3, "chosen": [], "gain": None, "lost": [0.0, 0.0]}
CHOSEN = {"arm": "traefik", "tries": 3, "grid": 3, "chosen": ["router.algorithm=leasttime"], "gain": 0.447, "lost": [0, 0]}
REJECTED = {**KEPT, "arm": "haproxy", "gain": 1.113, "rejected": ["router.limits.replica_requests=4"]}


def test_an_arm_keeps_its_own_where_the_best_of_the_tries_was_no_better_on_other_seeds(tmp_path):
    (tmp_path / "tuning.json").write_text(json.dumps({"arms": [KEPT, CHOSEN, REJECTED]}), encoding="utf-8")
    kept, chosen, rejected = sentences(tmp_path)
    assert kept == "nginx: 3 of 3 settings tried; its own were kept"
    assert "chosen router.algorithm=leasttime: p99 x 0.447, lost 0.00 -> 0.00 %" in chosen
    assert "its own were kept: router.limits.replica_requests=4 was best there, and p99 x 1.113" in rejected
    (tmp_path / "tuning.json").write_text(json.dumps({"arms": [{"arm": "nginx"}]}), encoding="utf-8")
    with pytest.raises(FolderError, match="cannot be read"):
        sentences(tmp_path)
