"""Aegis' own router as the Python that one reads, where `make fast` has left a compiled form."""

from typing import ClassVar

from experiments.data_planes import Front
from experiments.data_planes.aegis import Aegis
from services.compiled import INTERPRETED


class AegisInterpreted(Aegis):
    """The same router, which is told not to look for its compiled form."""

    name: ClassVar[str] = "aegis_interpreted"

    def command(self, front: Front) -> list[str]:
        """As the other form's."""
        return ["env", f"{INTERPRETED}=1", *super().command(front)]
