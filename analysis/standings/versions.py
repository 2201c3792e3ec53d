"""`versions.json`: what the runs of a pack were made with, an entry a state of code, programs and machine.

More than one is there only where the pack was gone on with in spite of a change (`--mixed`). Pure, but for reading.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from record.files import FolderError, one_line

NAME = "versions.json"
COMMIT = "commit"
"""Names the code for people; `CODE` tells whether it is the same."""
CODE = "code"
Versions = Mapping[str, str]
"""What by what it is: `code` (a hash of the files that a run is made by), `commit`, an arm's program, a package, ..."""


def read_versions(pack: Path) -> list[dict[str, str]]:
    """The entries, the first one first; empty where there is no such file.

    Raises:
        FolderError: it is damaged.
    """
    path = pack / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [{str(key): str(value) for key, value in entry.items()} for entry in content]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise FolderError(f"{path}: is damaged ({one_line(error)}); choose another --output") from error


def changed(then: Versions, now: Versions) -> list[str]:
    """What is not the same, of what both know, in the order of `then`; a commit alone is no change: the code may be the
    same."""
    return [key for key, value in then.items() if key != COMMIT and now.get(key, value) != value]


def shown(versions: Versions, key: str) -> str:
    """A value as people know it: of the code its commit."""
    return versions.get(COMMIT if key == CODE else key, "none") or "unknown"


def mixed(entries: Sequence[Versions]) -> list[str]:
    """What a reader must know where runs of several states stand side by side; empty where there is one."""
    keys = dict.fromkeys(key for one in entries[1:] for key in changed(entries[0], one))
    return [f"{key}: {', then '.join(dict.fromkeys(shown(one, key) for one in entries))}" for key in keys]
