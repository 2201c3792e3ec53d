"""Every key of the configuration, with unit, default, bounds and meaning: `python -m experiments.keys [WORD ...]`.

Exit status: 0 printed; 2 no key is called so.
"""

import argparse
import difflib
import shutil
import sys

from experiments.plan.reference import Line, in_words, markdown, sections
from experiments.runner.reader import outlive_the_reader

NONE = 2
WIDTH = 100
"""The most columns that a text takes."""


def matching(lines: list[Line], word: str) -> list[Line]:
    """The keys whose name begins with a word, or else has it in it."""
    begun = [line for line in lines if line.path == word or line.path.startswith(f"{word}.")]
    return begun or [line for line in lines if word in line.path]


def main(arguments: list[str] | None = None) -> int:
    """Print what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.keys",
        description=(__doc__ or "").partition(":")[0] + ".",
        epilog="example: python -m experiments.keys router.retry",
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="a key, a section, or a part of one; none: all")
    parser.add_argument("--markdown", action="store_true", help="the page docs/configuration.md")
    chosen = parser.parse_args(arguments)
    outlive_the_reader()
    if chosen.markdown:
        print(markdown(), end="")
        return 0
    lines = [line for section in sections() for line in section.lines]
    shown: list[Line] = []
    for word in chosen.words:
        if not (matched := matching(lines, word)):
            near = difflib.get_close_matches(word, [line.path for line in lines], 3, 0.5)
            hint = f"; did you mean {', '.join(near)}?" if near else "; without a word all are shown"
            print(f"{word}: no key is called so{hint}", file=sys.stderr)
            return NONE
        shown += [line for line in matched if line not in shown]
    print("\n".join(in_words(shown if chosen.words else lines, min(WIDTH, shutil.get_terminal_size().columns))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
