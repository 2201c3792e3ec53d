"""What the admin port's server need not log."""

import logging

from aiohttp.http_exceptions import HttpProcessingError


class Malformed(logging.Filter):
    """Leaves the malformed requests out of a server's log: whoever sends them hears 400, and could fill a disk."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is to be logged."""
        return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)
