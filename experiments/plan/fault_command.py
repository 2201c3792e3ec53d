"""The fault that is a command of the user's: a line for the shell that hurts the system, and one that heals it."""

from services.bounds import Bounds

COMMAND = "command"
SYSTEM = "system"
"""Its target: what a command hits, only the user knows."""
WITHIN_S = 10.0
"""How long a command may take where nothing else is said, seconds."""
WITHIN = Bounds(above=0, most=600)
PARAMETER = "within_s"
LINES = ("inject", "heal")
"""Fields of a fault that are lines for the shell."""
