"""What users extend is found by its file's name, in the tree and outside of it, and a broken file refuses itself only."""

import asyncio
import hashlib
import random
import subprocess
import sys

import pytest

from services.plugins import Point, check_folders
from tests.running import ROOT, run
from tests.services.live import Service, client, json_of

METHODS = ("pick", "on_start", "on_finish")
LAST = '''
class Last:
    """The last of those there are."""

    name = "{name}"

    def __init__(self, *, back: int = 1, rng=None):
        self.back = back

    def pick(self, candidates, request, now):
        from services.router.policies import Pick
        return Pick(candidates[-self.back], "turn")

    def on_start(self, replica, now): ...
    def on_finish(self, replica, outcome, latency, now): ...
'''


@pytest.fixture
def point(tmp_path, monkeypatch):
    """A package of policies with one good file, and a folder of plugins with room for more."""
    package = tmp_path / "made_up_policies"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text(LAST.format(name="good"))
    (tmp_path / "outside" / "policies").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("AEGIS_PLUGINS", str(tmp_path / "outside"))

    def made():
        for name in [name for name in sys.modules if name.startswith("made_up_policies")]:
            del sys.modules[name]
        __import__("made_up_policies")
        return Point("made_up_policies", sys.modules["made_up_policies"].__path__, "policies", "policy", METHODS)

    return made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = (\n", r"policy=bad: .*policies/bad\.py cannot be imported \(SyntaxError"),
        ("import nowhere_at_all\n", r"policy=bad: .*cannot be imported \(ModuleNotFoundError: .*nowhere_at_all"),
        ("class Bad:\n    name = 'worse'\n", r"policy=bad: .*bad\.py has no class with `name = \"bad\"`"),
        ("class Bad:\n    name = 'bad'\n    def pick(self): ...\n", r"policy=bad: Bad in .* lacks on_start, on_finish"),
    ],
)
@pytest.mark.parametrize("where", ["made_up_policies", "outside/policies"])
def test_a_file_that_cannot_be_used_refuses_who_chooses_it_and_nobody_else(point, tmp_path, where, text, words):
    (tmp_path / where / "bad.py").write_text(text)
    made = point()
    assert made.create("good", {"back": 2}).back == 2
    with pytest.raises(ValueError, match=words) as refused:
        made.create("bad", {})
    assert "\n" not in str(refused.value)
    assert made.listed().startswith("good; not usable: bad: ")
    assert list(made.usable()) == ["good"]


def test_an_unknown_name_is_refused_with_the_choices_and_where_it_was_looked_for(point):
    with pytest.raises(ValueError, match=r"policy=mine: there is no mine\.py in made_up_policies/.*there are good$"):
        point().create("mine", {})


def test_a_name_that_two_files_have_is_refused(point, tmp_path):
    (tmp_path / "outside" / "policies" / "good.py").write_text(LAST.format(name="good"))
    with pytest.raises(ValueError, match=r"policy=good: .*made_up_policies/good\.py and .*outside/policies/good\.py"):
        point().create("good", {})


def test_a_plugin_of_outside_is_known_by_its_file_and_content_and_one_of_the_tree_needs_no_such_words(point, tmp_path):
    file = tmp_path / "outside" / "policies" / "mine.py"
    file.write_text(LAST.format(name="mine"))
    found = point().outside("mine")
    assert found == {
        "key": "policy",
        "name": "mine",
        "file": str(file),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    assert point().outside("good") is None and point().outside("nope") is None


def test_an_option_without_a_default_must_be_given(point, tmp_path):
    text = LAST.format(name="mine").replace("back: int = 1", "back: int")
    (tmp_path / "outside" / "policies" / "mine.py").write_text(text)
    with pytest.raises(ValueError, match=r"policy\.back: must be given"):
        point().create("mine", {}, rng=random.Random(0))
    assert point().create("mine", {"back": 2}, rng=random.Random(0)).back == 2


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_of_plugins_in_which_nothing_would_be_found_is_refused(tmp_path, monkeypatch, make):
    if make:
        (tmp_path / "x" / "policy").mkdir(parents=True)
    monkeypatch.setenv("AEGIS_PLUGINS", f"{tmp_path / 'x'}")
    with pytest.raises(ValueError, match=r"AEGIS_PLUGINS=.*x: must be a folder with one of policies, scalers"):
        check_folders()
    done = run("+scenario=routed")
    assert done.returncode == 2 and done.stderr.startswith("AEGIS_PLUGINS=") and done.stderr.count("\n") == 1


def test_the_routers_process_takes_a_policy_from_outside_and_its_help_names_the_broken(tmp_path, monkeypatch):
    room = tmp_path / "policies"
    room.mkdir()
    (room / "mine.py").write_text(LAST.format(name="mine"))
    (room / "torn.py").write_text("x = (\n")
    monkeypatch.setenv("AEGIS_PLUGINS", str(tmp_path))
    command = [sys.executable, "-m", "services.router", "--help"]
    told = " ".join(subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.split())
    assert "mine" in told and "torn" in told and "cannot be imported (SyntaxError" in told.replace("- ", "-")
    front = Service("router", "--port", 0, "--admin-port", 0, "--policy", "mine")

    async def main():
        async with client() as session:
            assert (await json_of(session, f"{front.admin}/stats"))["policy"] == "mine"

    try:
        asyncio.run(main())
    finally:
        front.stop()


@pytest.mark.parametrize("engine", ["kubernetes", "torn"])
def test_a_manager_refuses_an_engine_that_is_none_with_one_line_and_the_choices(tmp_path, monkeypatch, engine):
    room = tmp_path / "manager_engines"
    room.mkdir()
    (room / "torn.py").write_text("x = (\n")
    monkeypatch.setenv("AEGIS_PLUGINS", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "services.manager", "--engine", engine], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert f"engine={engine}: " in last
    assert ("there are compose, fixed, local, swarm" if engine != "torn" else "torn.py cannot be imported") in last


def test_an_option_of_another_engine_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "services.manager", "--engine", "fixed", "--publish"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "unrecognized arguments: --publish" in done.stderr
