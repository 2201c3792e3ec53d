"""What a turn of the loop writes goes out once, in order, and before a connection ends."""

import asyncio

from services.router.wire.outbox import LARGE_BYTES, Outbox


class Transport(asyncio.Transport):
    """Remembers what is written."""

    def __init__(self, log):
        super().__init__()
        self.log = log
        self.closing = False

    def write(self, data):
        assert not self.closing
        self.log.append((self, data))

    def is_closing(self):
        return self.closing


def test_the_answers_of_a_turn_are_written_together_at_its_end():
    soon, log = [], []
    outbox, one, other = Outbox(soon.append), Transport(log), Transport(log)
    for transport, data in ((one, b"a"), (other, b"b"), (one, b"c")):
        outbox.write(transport, data)
    assert not log and len(soon) == 1
    soon.pop()()
    assert log == [(one, b"a"), (other, b"b"), (one, b"c")]
    outbox.write(one, b"d")
    assert len(soon) == 1  # the next turn has an end of its own


def test_a_large_piece_goes_at_once_and_overtakes_nothing():
    soon, log = [], []
    outbox, one = Outbox(soon.append), Transport(log)
    outbox.write(one, b"head")
    outbox.write(one, b"x" * LARGE_BYTES)
    assert [data[:4] for _, data in log] == [b"head", b"xxxx"]
    soon.pop()()
    assert len(log) == 2


def test_a_client_that_has_hung_up_takes_nobody_elses_answer_with_it():
    soon, log = [], []
    outbox, gone, other = Outbox(soon.append), Transport(log), Transport(log)
    outbox.write(gone, b"a")
    outbox.write(other, b"b")
    gone.closing = True
    soon.pop()()
    assert log == [(other, b"b")]
