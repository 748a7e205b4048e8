"""Rules of the tree that import-linter does not hold."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(
    str(stub.parent.relative_to(ROOT)).replace("/", ".")
    for stub in (ROOT / "ich_cli").rglob("__init__.pyi")
)


def test_no_test_imports_another_test() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in (ROOT / "tests").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(from|import) tests(\.\w+)*\.test_", line)
    ]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_of_a_package_is_there_and_is_not_its_module(package: str) -> None:
    door = import_module(package)
    assert door.__doc__
    assert door.__all__
    for name in door.__all__:
        value = getattr(door, name)
        own = isinstance(value, ModuleType) and value.__name__ == f"{package}.{name}"
        assert not own, f"{package}.{name} is a module: a name and a module must differ"


def test_every_package_is_listed_for_the_wheel() -> None:
    listed = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    missing = [
        name
        for init in (ROOT / "ich_cli").rglob("__init__.py")
        if f'"{(name := str(init.parent.relative_to(ROOT)).replace("/", "."))}"' not in listed
    ]
    assert missing == []
