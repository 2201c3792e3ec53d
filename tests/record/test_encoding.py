"""Every text file is UTF-8, whatever this machine's locale: a page says so in its head, and folders travel."""

import ast
import os
import subprocess
import sys

import pytest

from tests.running import ROOT

PACKAGES = ("services", "record", "experiments", "analysis")


def of_text_without_encoding(tree):
    """Calls that read or write text in the encoding of the locale."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        is_method = isinstance(node.func, ast.Attribute)
        words = [word.value for word in [*node.args[:2], *(k.value for k in node.keywords)] if isinstance(word, ast.Constant)]
        modes = [word for word in words if isinstance(word, str) and word and set(word) <= set("rwaxbt+")]
        if any("b" in mode for mode in modes):
            continue
        is_open = name == "open" and (not is_method or bool(modes) or not (node.args or node.keywords))
        if is_open or name == "fdopen" or (is_method and name in ("read_text", "write_text")):
            yield node


@pytest.mark.parametrize("package", PACKAGES)
def test_no_text_is_read_or_written_in_the_encoding_of_the_locale(package):
    files = sorted((ROOT / package).rglob("*.py"))
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}: say encoding=\"utf-8\""
        for path in files
        for node in of_text_without_encoding(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert len(files) > 5 and found == []


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("path.read_text()", True), ("path.write_text(x)", True), ("path.open()", True), ("path.open('a')", True),
        ("open(path, 'w')", True), ("os.fdopen(1, 'w')", True), ("path.open('wb')", False), ("write_text(path, x)", False),
        ("open(path, encoding='utf-8')", False), ("os.open(path, os.O_RDONLY)", False), ("dispatcher.open(now)", False),
    ],
)  # fmt: skip
def test_what_finds_them_finds_them(text, is_found):
    assert bool(list(of_text_without_encoding(ast.parse(text)))) is is_found


def test_a_text_is_written_as_utf_8_where_the_locale_is_another(tmp_path):
    program = "import sys; from pathlib import Path; from record.files import write_text; "
    program += r"write_text(Path(sys.argv[1]), '\u00fc \u2192 \udcff')"  # the last: of a name that is no UTF-8
    place = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "page")], cwd=ROOT, env=place, check=True)
    assert (tmp_path / "page").read_bytes() == "\u00fc \u2192 \\udcff".encode()
