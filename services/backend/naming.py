"""A replica's name where its container is made anew: what the network calls it, not the host name, which is drawn."""

import contextlib
import secrets
import socket
import struct
from ipaddress import ip_address
from pathlib import Path

from services.startup import own_address

PORT = 53
TIMEOUT_S = 2.0
"""For one answer; the server is this machine's own or its network's."""
PTR, IN, RECURSION_DESIRED = 12, 1, 0x0100
MOST_OCTETS = 255
"""Of a name, with the length octet of each label and the root's (RFC 1035, section 2.3.4)."""
RESOLV = Path("/etc/resolv.conf")


def name_in_network(router: str) -> str:
    """This machine's name in the network in which it reaches `router` (an URL), up to the first dot.

    Docker's DNS answers with the container's name (`aegis-replica-1`), which stays when Compose makes the container
    anew. The server itself is asked: `gethostbyaddr` finds the own address in /etc/hosts, with the host name. Where
    nobody knows the address, that is the name.
    """
    with contextlib.suppress(OSError, ValueError):
        if name := reverse(own_address(socket.AF_INET, router), nameserver()):
            return name.partition(".")[0]
    return socket.gethostname().partition(".")[0]


def nameserver(path: Path = RESOLV) -> str:
    """The first server of resolv.conf(5). Raises OSError, ValueError: there is none."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            return words[1]
    raise ValueError(f"{path}: no nameserver")


def reverse(address: str, server: str, port: int = PORT) -> str | None:
    """The name of an address (RFC 1035, section 3.5); None where the server knows none.

    Raises:
        OSError: no answer within `TIMEOUT_S`.
        ValueError: the answer is none.
    """
    number = secrets.token_bytes(2)
    query = number + struct.pack(">HHHHH", RECURSION_DESIRED, 1, 0, 0, 0)
    for label in ip_address(address).reverse_pointer.split("."):
        query += bytes([len(label)]) + label.encode()
    query += b"\0" + struct.pack(">HH", PTR, IN)
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(TIMEOUT_S)
        asking.connect((server, port))
        asking.send(query)
        answer = asking.recv(4096)
    try:
        return _pointed_at(answer, len(query)) if answer[:2] == number else None
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"{server}: answers what is no DNS") from error


def _pointed_at(answer: bytes, at: int) -> str | None:
    """The first name that the answer's records point at; they begin behind the question, which is repeated in it."""
    (records,) = struct.unpack_from(">H", answer, 6)
    for _ in range(records):
        _, at = _name(answer, at)
        kind, _, _, length = struct.unpack_from(">HHIH", answer, at)
        at += 10
        if kind == PTR:
            return _name(answer, at)[0]
        at += length
    return None


def _name(answer: bytes, at: int) -> tuple[str, int]:
    """The name at `at`, and where it ends; compressed ones lead to "a prior occurrence" (RFC 1035, section 4.1.4).

    So each part begins before the one that points at it, and no answer, however it is made, has an endless name.
    """
    labels: list[str] = []
    end, begun, octets = None, at, 1
    while (length := answer[at]) != 0:
        if length >= 0xC0:
            end = at + 2 if end is None else end
            target = struct.unpack_from(">H", answer, at)[0] & 0x3FFF
            if target >= begun:
                raise IndexError("a pointer that does not lead to what stands before its name")
            at = begun = target
            continue
        octets += 1 + length
        if length > 63 or octets > MOST_OCTETS:
            raise IndexError("a label or a name that is too long")
        labels.append(answer[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels), at + 1 if end is None else end
