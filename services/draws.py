"""Random numbers that repeat: a hash of what is drawn for, not a generator's state."""

import hashlib


def uniform(seed: int, request_id: str, replica: str, attempt: str, purpose: str) -> float:
    """A number in (0, 1), the same for the same arguments on every machine."""
    text = f"{seed}|{request_id}|{replica}|{attempt}|{purpose}".encode()
    return (int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) + 0.5) / 2**64
