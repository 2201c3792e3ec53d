"""What a run leaves: schema, files, place, provenance, writing, reading. Known by others, it knows none of them."""

__version__ = "0.1.0"
"""The version of all of Aegis; pyproject.toml reads it here."""
