"""What `--quick` leaves out, however one names it."""

from types import SimpleNamespace

from tests import conftest


def test_what_is_not_quick_is_left_out_of_a_file_that_is_named_on_the_command_line_too():
    left_out = []
    hook = SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items))
    config = SimpleNamespace(getoption={"quick": True}.get, hook=hook)
    names = ("services/router/test_waiting.py", "services/router/test_waiting_live.py", "system/test_tracking.py")
    pure, *others = tests = [
        SimpleNamespace(path=conftest.HERE / name, get_closest_marker=lambda _: None) for name in names
    ]
    conftest.pytest_collection_modifyitems(config, tests)
    assert tests == [pure] and sorted(map(id, left_out)) == sorted(map(id, others))
