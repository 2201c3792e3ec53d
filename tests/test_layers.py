"""Import Linter holds the floors between packages and between rooms (pyproject.toml); here is what it cannot say."""

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

PACKAGES = ("services", "record", "experiments", "analysis")


def test_no_file_imports_one_that_imports_it():
    # The linter compares the files of one folder; a folder's own __init__.py and what lies in it are not such.
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 100 and sum(map(len, imports.values())) > 500
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")
