"""The admin token: where it comes from, what is refused as one, and where a service may listen without it."""

import os
import subprocess
import sys

import pytest

from services.door import access
from services.door.access import TokenError, admin_token, auth_headers, check_bind, is_authorized, is_loopback
from tests.running import AT_MOST_S, ROOT, command
from tests.services.live import TOKEN, backend

ALL = ("router", "backend", "manager")


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    for name in (access.TOKEN_VARIABLE, access.FILE_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_without_a_token_everything_is_let_in_and_nothing_is_sent(monkeypatch):
    for name in (access.TOKEN_VARIABLE, access.FILE_VARIABLE):
        monkeypatch.setenv(name, "")  # as Compose sets what is not given
    assert admin_token() is None and is_authorized(None) and auth_headers() == {}


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_holds_the_token_with_or_without_a_line_end(monkeypatch, tmp_path, end):
    path = tmp_path / "token"
    path.write_bytes(TOKEN.encode() + end.encode())
    monkeypatch.setenv(access.FILE_VARIABLE, str(path))
    assert admin_token() == TOKEN
    assert auth_headers() == {"Authorization": f"Bearer {TOKEN}"}


WRONG = {
    "both": (TOKEN, TOKEN, ["both set", "unset one"]),
    "missing file": (None, None, ["cannot be read", "No such file", "token_urlsafe"]),
    "empty file": (None, "", ["is empty", "token_urlsafe"]),
    "a file of newlines": (None, "\n\n", ["token_urlsafe"]),
    "short": ("hunter2", None, ["AEGIS_ADMIN_TOKEN", "16", "not 7", "token_urlsafe"]),
    "short in a file": (None, "x" * 15 + "\n", ["_FILE", "not 15"]),
    "long": ("x" * 1025, None, ["1024"]),
    "a header of its own": ("x" * 16 + "\r\nX-Evil: 1", None, ["letters, digits"]),
    "no ASCII": ("geheimnisträgerin", None, ["letters, digits"]),
    "two lines": (None, f"{TOKEN}\n{TOKEN}\n", ["letters, digits"]),
    "no text": (None, "\udcff" * 20, ["letters, digits"]),
    "an endless file": (None, "x" * 5000, ["1024"]),
}


@pytest.mark.parametrize(("token", "content", "words"), WRONG.values(), ids=WRONG)
def test_a_token_that_cannot_be_used_is_refused_in_one_line_that_does_not_tell_it(
    monkeypatch, tmp_path, capsys, token, content, words
):
    path = tmp_path / "token"
    if token is not None:
        monkeypatch.setenv(access.TOKEN_VARIABLE, token)
    if content is not None:
        path.write_bytes(content.encode(errors="surrogateescape"))
    if token is None or content is not None:
        monkeypatch.setenv(access.FILE_VARIABLE, str(path))
    with pytest.raises(TokenError):
        admin_token()
    with pytest.raises(SystemExit) as caught:
        check_bind("127.0.0.1")
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert said.count("\n") == 1 and all(word in said for word in words), said
    assert not any(secret and secret.strip() and secret.strip() in said for secret in (token, content))


@pytest.mark.parametrize(
    ("authorization", "is_let_in"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN} ", True),
        (None, False),
        ("", False),
        (TOKEN, False),
        (f"Basic {TOKEN}", False),
        (f"Bearer {TOKEN}x", False),
        (f"Bearer {TOKEN[:-1]}", False),
        (f"Bearer {TOKEN[:-1]}\udcff", False),
        (f"Bearer {TOKEN[:-1]}ä", False),
        ("Bearer \ud800", False),
        ("Bearer " + "?" * len(TOKEN), False),
    ],
)
def test_the_token_opens_and_nothing_like_it(monkeypatch, authorization, is_let_in):
    monkeypatch.setenv(access.TOKEN_VARIABLE, TOKEN)
    assert is_authorized(authorization) is is_let_in


LOCAL = ("127.0.0.1", "127.8.8.8", "::1", "localhost")
BEYOND = (
    "0.0.0.0",
    "::",
    "",
    "*",
    "10.0.0.1",
    "::ffff:10.0.0.1",
    "127.1",
    "localhost.example",
    "example",
    "a\nb",
    "0",
    "2130706433",
)


@pytest.mark.parametrize("host", [*LOCAL, *BEYOND], ids=ascii)
def test_beyond_loopback_a_service_listens_with_a_token_only(monkeypatch, capsys, host):
    assert is_loopback(host) is (host in LOCAL)
    if host in LOCAL:
        check_bind(host)
    else:
        with pytest.raises(SystemExit) as caught:
            check_bind(host)
        said = capsys.readouterr().err
        assert caught.value.code == 2 and said.count("\n") == 1 and "AEGIS_ADMIN_TOKEN_FILE" in said
    monkeypatch.setenv(access.TOKEN_VARIABLE, TOKEN)
    check_bind(host)


@pytest.mark.parametrize("name", ALL)
def test_a_service_does_not_start_with_a_short_token(name):
    done = subprocess.run(
        [sys.executable, "-m", f"services.{name}", "--port", "0"],
        cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, env={**os.environ, "AEGIS_ADMIN_TOKEN": "hunter2"}, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "16" in done.stderr and "hunter2" not in done.stderr


def test_an_experiment_does_not_start_with_a_short_token():
    done = subprocess.run(
        command("+scenario=routed"),
        cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, env={**os.environ, "AEGIS_ADMIN_TOKEN": "hunter2"}, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "16" in done.stderr and "hunter2" not in done.stderr


def test_a_replica_starts_with_a_token_from_a_file(tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    with backend("--host", "127.0.0.2", env={"AEGIS_ADMIN_TOKEN_FILE": str(tmp_path / "token")}) as started:
        assert started.url.startswith("http://127.0.0.2:")
        assert " ready " in started.said() and "warning" not in started.said()


@pytest.mark.parametrize(("data", "admin"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")])
def test_a_router_shows_neither_port_beyond_loopback_without_a_token(data, admin):
    ports = ["--port", "0", "--admin-port", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "services.router", "--host", data, "--admin-host", admin, *ports],
        cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "refusing to listen on 0.0.0.0" in done.stderr
