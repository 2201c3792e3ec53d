"""The folder of an import: whole or not there, whoever interrupts it; and words of the command line that are none."""

import pytest

from experiments.importing import folder
from tests.experiments.importing import imported, run


def log(count=100):
    """Of nginx."""
    head = '192.0.2.7 - - [30/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 200 12 "-" "c"'
    return "".join(f"{head} {1_796_032_800 + n / 4:.3f} 0.100 0.100 127.0.0.1:9001\n" for n in range(count))


@pytest.mark.parametrize("moment", ["write_requests", "write_about"])
def test_who_interrupts_it_keeps_the_earlier_import_or_none(tmp_path, capsys, monkeypatch, moment):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(folder, moment, interrupted)
        got = imported(tmp_path, capsys, log(50))
        assert got.status == 130 and "nothing was imported" in got.told and not got.folder.exists()
    assert imported(tmp_path, capsys, log(100)).status == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "my-traffic").iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr(folder, moment, interrupted)
        assert imported(tmp_path, capsys, log(50)).status == 130
    assert {path.name: path.read_bytes() for path in (tmp_path / "my-traffic").iterdir()} == before


def test_what_one_that_was_killed_left_is_in_nobodys_way(tmp_path, capsys):
    left = tmp_path / "my-traffic" / ".part"
    left.mkdir(parents=True)
    (left / "requests.parquet").write_bytes(b"half")
    got = imported(tmp_path, capsys, log(50))
    assert got.status == 0 and sorted(path.name for path in got.folder.iterdir()) == [
        "import.json", "requests.parquet", "trace.parquet"
    ]  # fmt: skip


@pytest.mark.parametrize("seed", ["-5", "x", "1.5", "9" * 80, "9" * 5000, "²"])
def test_a_seed_that_nothing_can_be_drawn_by_is_refused(tmp_path, capsys, seed):
    got = imported(tmp_path, capsys, log(), "--keep", "keys", f"--seed={seed}")
    assert got.status == 2 and "--seed" in got.told and "must be a whole number" in got.told


def test_a_request_without_a_path_has_a_key_all_the_same(tmp_path, capsys):
    content = log(2) + log(1).replace("GET", "get").replace("/a", "/b")
    assert imported(tmp_path, capsys, content, "--keep", "paths").trace["key"].tolist() == ["/a", "-", "/a"]


def test_standard_input_is_told_that_it_is_read_twice(tmp_path, capsys):
    got = run(tmp_path, capsys, "-")
    assert got.status == 2 and "-: is no file but a stream" in got.told and got.told.count("\n") == 1
