"""docs/licences.md lists the packages of constraints.txt, and none is GPL only."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.licences import (
    CONSTRAINTS,
    EXCUSED,
    PAGE,
    ROOT,
    is_gpl,
    licence_of,
    needed_by,
    pins,
    read_page,
)

PINS = pins(CONSTRAINTS.read_text())
TABLE = read_page(PAGE.read_text())

# Native libraries under the GPL without an exception for whoever links them.
GPL_LIBRARIES = re.compile(
    r"\blib(x26[45]|postproc|xvidcore|fftw3\w*|gslcblas|gsl|readline|lzo2?|bluray|cdio|rubberband)\b"
)


def installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def test_the_page_lists_exactly_the_pinned_packages() -> None:
    assert [(row.name, row.version) for row in TABLE] == [(one.name, one.version) for one in PINS]


def test_the_page_agrees_with_the_metadata() -> None:
    checked = [
        row for row in TABLE
        if installed(row.name) and metadata.version(row.name) == row.version
    ]  # fmt: skip
    assert len(checked) > 50
    assert [(row.name, row.licence) for row in checked] == [
        (row.name, licence_of(row.name)) for row in checked
    ]


def test_no_package_is_gpl_only() -> None:
    assert {row.name for row in TABLE if is_gpl(row.licence)} == set(EXCUSED)
    assert not [row.name for row in TABLE if row.needed == "runtime" and row.name in EXCUSED]


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("GPL-3.0-or-later", True),
        ("AGPL-3.0-only", True),
        ("MIT AND GPL-2.0-only", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("GPL-2.0-only OR MIT", False),
        ("LGPL-2.1-or-later", False),
        ("GNU Lesser General Public License v3", False),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", False),
        ("BSD-3-Clause", False),
    ],
)
def test_is_gpl(licence: str, expected: bool) -> None:
    assert is_gpl(licence) is expected


def test_every_dependency_installed_here_is_pinned() -> None:
    """Check indirect dependencies too: an unpinned one could change unnoticed."""
    pinned = {one.name for one in PINS}
    assert set(needed_by()) - pinned == set()


def test_pins_satisfy_the_requirements() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version_of = {one.name: one.version for one in PINS}
    extras = project["optional-dependencies"].values()
    for text in [*project["dependencies"], *(one for extra in extras for one in extra)]:
        wanted = Requirement(text)
        if wanted.name != project["name"]:
            assert wanted.specifier.contains(version_of[canonicalize_name(wanted.name)]), text


def test_no_wheel_contains_a_gpl_library() -> None:
    runtime = [row.name for row in TABLE if row.needed == "runtime" and installed(row.name)]
    files = [str(file) for name in runtime for file in metadata.files(name) or []]
    native = [file for file in files if re.search(r"\.(so|dylib|dll|pyd)\b", file)]
    assert len(native) > 100
    assert [file for file in native if GPL_LIBRARIES.search(file)] == []
