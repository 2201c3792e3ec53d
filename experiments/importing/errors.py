"""Why nothing was imported; each text is one line."""


class WrongImport(ValueError):
    """What was asked for cannot be: no such file, not of this format, an option that the format does not take."""


class UnusableLog(RuntimeError):
    """The files were read, and hold nothing that can be used; the text says what to collect."""
