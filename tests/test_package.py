"""How the packages hang together."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "keras_recattend").rglob("*.py"))


def imported(path):
    """Names of all modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_model_never_imports_the_data_sets(path):
    # Another well-known package is called `datasets`, too.
    assert not [name for name in imported(path) if name.split(".")[0] == "datasets"]


def test_every_package_is_installed():
    # Python 3.10 has no TOML reader; the list is one line.
    line = re.search(
        r"^packages = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.M
    )
    listed = set(re.findall(r'"([^"]+)"', line.group(1)))
    there = {".".join(p.parent.relative_to(ROOT).parts) for p in MODULES}
    assert listed == there
