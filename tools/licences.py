"""Write docs/licences.md: the licence of every package in constraints.txt, direct or not.

    python -m tools.licences

Licences come from the metadata of the installed packages, so all extras must be installed in the
pinned versions. A test checks names, versions and licences.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "licences.md"
CONSTRAINTS: Final = ROOT / "constraints.txt"

PROPRIETARY: Final = "LicenseRef-NVIDIA-Proprietary"

STATED: Final = {
    # for other platforms or Python versions only; as stated on PyPI
    "audioop-lts": "PSF-2.0",
    "colorama": "BSD-3-Clause",
    "pywin32": "PSF-2.0",
    "pywin32-ctypes": "BSD-3-Clause",
    "pyyaml-ft": "MIT",
    "atheris": "Apache-2.0",  # not in its wheel; stated in its repository
    # their metadata hold free text
    "cuda-toolkit": PROPRIETARY,  # NVIDIA's empty package that names the others
    "kiwisolver": "BSD-3-Clause",
    "matplotlib": "PSF-2.0",
    "nvidia-cusparselt-cu13": PROPRIETARY,
    "scipy": "BSD-3-Clause",
}
"""Package → licence, where the installed metadata does not state it."""

EXCUSED: Final = {
    "docutils": (
        "almost all public domain or BSD; GPL-3.0 is an Emacs mode that the wheel carries and "
        "nothing imports. `twine check` uses it when a distribution is made; it is never shipped"
    ),
}
"""Allowed packages with a GPL licence → reason."""

_SPELLINGS: Final = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD",  # without the number of clauses
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd license": "BSD",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}


class Pin(NamedTuple):
    """One line of constraints.txt."""

    name: str
    version: str
    marker: Marker | None


class Row(NamedTuple):
    """One line of the page's table."""

    name: str
    version: str
    licence: str
    needed: str


def pins(text: str) -> list[Pin]:
    """Return the pins of a constraints file, by name."""
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    found = [Requirement(line) for line in lines]
    return sorted(
        Pin(canonicalize_name(one.name), next(iter(one.specifier)).version, one.marker)
        for one in found
    )


def licence_of(name: str) -> str | None:
    """Return the licence of a package, as SPDX expression where known; None if not stated."""
    if name in STATED:
        return STATED[name]
    try:
        about: Message = metadata.metadata(name)  # type: ignore[assignment]
    except metadata.PackageNotFoundError:
        return None
    kinds = [
        kind.rpartition("::")[2].strip()
        for kind in about.get_all("Classifier") or []
        if kind.startswith("License ::")
    ]
    said = about.get("License-Expression") or (about.get("License") or "").strip()
    if not said or "\n" in said or len(said) > 200:
        said = " AND ".join(dict.fromkeys(_SPELLINGS.get(kind.lower(), kind) for kind in kinds))
    return _SPELLINGS.get(said.lower(), said) or None


def is_gpl(licence: str) -> bool:
    """Return True if every alternative of a licence is GPL or AGPL; the LGPL does not count."""
    ways = re.split(r"\bOR\b", licence.replace("(", " ").replace(")", " "))
    strict = re.compile(r"\bA?GPL|(?<!Lesser )(?<!Library )General Public License", re.IGNORECASE)
    return all(strict.search(way) for way in ways)


def needed_by() -> dict[str, str]:
    """Return package → first of runtime and the extras that needs it, as installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sets = {"runtime": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, str] = {}
    for title, wanted in sets.items():
        queue = [Requirement(one) for one in wanted]
        while queue:
            one = queue.pop()
            name = canonicalize_name(one.name)
            if name != "ich-cli" and (name not in found or one.extras):
                found.setdefault(name, title)
                queue += [more for more in _requires(name, one.extras) if more not in queue]
    return found


def _requires(name: str, extras: set[str]) -> list[Requirement]:
    try:
        listed = [Requirement(one) for one in metadata.requires(name) or []]
    except metadata.PackageNotFoundError:
        return []
    environments = [{"extra": extra} for extra in ("", *extras)]
    return [
        one for one in listed
        if one.marker is None or any(one.marker.evaluate(extra) for extra in environments)
    ]  # fmt: skip


def rows() -> list[Row]:
    """Return the table; exit with the names of packages whose licence is unknown."""
    needed, found, unknown = needed_by(), [], []
    for pin in pins(CONSTRAINTS.read_text()):
        licence = licence_of(pin.name)
        if licence is None or (
            pin.name not in STATED and metadata.version(pin.name) != pin.version
        ):
            unknown.append(f"{pin.name}=={pin.version}")
        else:
            title = needed.get(pin.name, "elsewhere")
            found.append(Row(pin.name, pin.version, licence, title))
    if unknown:
        raise SystemExit(f"not installed as pinned, or without a licence: {' '.join(unknown)}")
    return found


def read_page(text: str) -> list[Row]:
    """Return the table of a page."""
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [Row(*(cell.strip() for cell in one)) for one in cells if len(one) == 4][1:]


def page(table: list[Row]) -> str:
    """Return the page in Markdown."""
    shipped = Counter(row.licence for row in table if row.needed == "runtime")
    kinds = [f"| {licence} | {count} |" for licence, count in shipped.most_common()]
    listed = "\n".join(f"| {' | '.join(row)} |" for row in table)
    excused = "\n".join(f"- **{name}**: {why}." for name, why in EXCUSED.items())
    return _PAGE.format(kinds="\n".join(kinds), listed=listed, excused=excused, count=len(table))


_PAGE: Final = """\
# Licences

`ich` itself is Apache-2.0. This page lists the licences of all {count} packages in
constraints.txt, direct and indirect, extras included. `make licences` writes it from the packages'
metadata. A test fails if it is outdated, or if a new package is available under the GPL only. It
is a list, not legal advice.

`pip install ich-cli` installs packages under these licences:

| licence | packages |
|---|---|
{kinds}

- **NVIDIA's CUDA libraries** are proprietary and may be redistributed. torch's wheels for Linux
  install them; its CPU builds do not, and `ich` does not need them.
- **MPL-2.0** requires publishing changes to its own files; `ich` changes none.
- **Native libraries** are inside some wheels. OpenCV's has FFmpeg under the LGPL-2.1, built without
  FFmpeg's GPL parts. GCC's libgomp and libgfortran (NumPy, SciPy, scikit-learn, torch, OpenCV,
  imagecodecs) are GPL-3.0 with the runtime exception that allows any program to use them.
  libquadmath is LGPL-2.1. A test searches all wheels for GPL libraries by name.
- **Codecs**: JPEG, JPEG-LS and JPEG 2000 are decoded by imagecodecs, whose wheel has no GPL
  decoders. pylibjpeg-libjpeg is GPL and not used.

Allowed although their metadata name the GPL:

{excused}

"needed by" is the first of runtime, mcp, openvino, dev and release that requires the package.
"elsewhere" means other platforms or Python versions than the one that made this page.

| package | version | licence | needed by |
|---|---|---|---|
{listed}
"""


if __name__ == "__main__":
    PAGE.write_text(page(rows()))
