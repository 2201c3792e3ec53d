"""A replica's name by DNS, asked of a server that answers byte by byte what RFC 1035 and Docker's do."""

import socket
import struct
import threading

import pytest

from services.backend import naming

OWN_NAME = b"\x0faegis_replica_1\x0baegis_admin\0"


def answering(answer):
    """A server of one question; its port, the question it got, and the thread."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(5)
    asked = []

    def run():
        with sock:
            query, client = sock.recvfrom(4096)
            asked.append(query)
            sock.sendto(answer(query), client)

    thread = threading.Thread(target=run)
    thread.start()
    return sock.getsockname()[1], asked, thread


def records(*found):
    """An answer: the question again, and records of which each names the question by a pointer to it."""

    def answer(query):
        head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 600, len(data)) + data for kind, data in found)
        return head + query[12:] + body

    return answer


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (records((12, OWN_NAME)), "aegis_replica_1.aegis_admin"),
        (records((5, b"\x01a\0"), (12, OWN_NAME)), "aegis_replica_1.aegis_admin"),  # an alias first (RFC 2317)
        (records((12, b"\x01r\xc0\x14")), "r.in-addr.arpa"),  # the rest of it stands in the question
        (records(), None),
        (lambda query: b"xx" + records((12, OWN_NAME))(query)[2:], None),  # to somebody else's question
    ],
)
def test_an_addresss_name_is_what_the_server_points_at(answer, name):
    port, asked, thread = answering(answer)
    assert naming.reverse("1.2.3.4", "127.0.0.1", port) == name
    thread.join()
    assert asked[0][12:] == b"\x014\x013\x012\x011\x07in-addr\x04arpa\0\0\x0c\0\x01"


@pytest.mark.parametrize("nonsense", [b"", b"\xc0\xff", b"\xc0\x1d" * 9, b"\x3f" + b"x" * 9])
def test_an_answer_that_is_none_is_an_error_and_ends(nonsense):
    def answer(query):
        return query[:2] + struct.pack(">HHHHH", 0x8180, 1, 3, 0, 0) + query[12:] + nonsense

    port, _, thread = answering(answer)
    with pytest.raises(ValueError, match="no DNS"):
        naming.reverse("1.2.3.4", "127.0.0.1", port)
    thread.join()


def test_where_nobody_knows_the_address_the_host_name_is_the_name(monkeypatch, tmp_path):
    monkeypatch.setattr(naming, "nameserver", lambda: (_ for _ in ()).throw(ValueError("none")))
    assert naming.name_in_network("http://127.0.0.1:9") == socket.gethostname().partition(".")[0]
    (tmp_path / "resolv.conf").write_text("# nameserver 9.9.9.9\nsearch x\nnameserver 127.0.0.11\nnameserver 8.8.8.8\n")
    monkeypatch.undo()
    assert naming.nameserver(tmp_path / "resolv.conf") == "127.0.0.11"
