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


LONGEST = b"\x3f" + b"a" * 63


@pytest.mark.parametrize(
    ("question", "why"),
    [
        (b"\x01a\xc0\x0c", "a pointer"),  # to itself, behind a label
        (b"\x01a\x01b\xc0\x0e", "a pointer"),  # into its own name
        (b"\xc0\x0e\xc0\x0c", "a pointer"),  # forwards
        (LONGEST * 4 + b"\0", "too long"),  # 257 octets
        (b"\x40" + b"a" * 64 + b"\0", "too long"),  # a label of a kind that there is not
    ],
)
def test_a_name_without_an_end_is_none(question, why):
    answer = b"\0" * 12 + question + b"\0\x0c\0\x01"
    with pytest.raises(IndexError, match=why):
        naming._name(answer, 12)


def test_a_name_leads_backwards_in_several_steps_and_is_as_long_as_names_may_be():
    answer = b"\0" * 12 + b"\x01c\0" + b"\x01b\xc0\x0c" + b"\x01a\xc0\x0f"
    assert naming._name(answer, 19) == ("a.b.c", 23)
    longest = LONGEST * 3 + b"\x3d" + b"b" * 61 + b"\0"
    assert len(longest) == naming.MOST_OCTETS
    assert len(naming._name(longest, 0)[0]) == 253


def test_where_nobody_knows_the_address_the_host_name_is_the_name(monkeypatch, tmp_path):
    monkeypatch.setattr(naming, "nameserver", lambda: (_ for _ in ()).throw(ValueError("none")))
    assert naming.name_in_network("http://127.0.0.1:9") == socket.gethostname().partition(".")[0]
    (tmp_path / "resolv.conf").write_text("# nameserver 9.9.9.9\nsearch x\nnameserver 127.0.0.11\nnameserver 8.8.8.8\n")
    monkeypatch.undo()
    assert naming.nameserver(tmp_path / "resolv.conf") == "127.0.0.11"
