"""The answer of `/healthz`, and of the manager's `/readyz`."""

from pydantic import BaseModel


class Health(BaseModel):
    """A word on how it is."""

    status: str
