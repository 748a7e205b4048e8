"""Table of pydicom's test files and of one slice in 14 transfer syntaxes, with their outcomes.

``python -m tests.support.odd_files`` writes it into docs/dicom.md; a test checks it.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from pathlib import Path

import pydicom
import pydicom.data

from ich_cli.core.errors import InputError
from ich_cli.core.series import load, scan

DOCS = Path(__file__).parents[2] / "docs" / "dicom.md"
PYDICOM = Path(pydicom.data.__file__).parent / "test_files"
SYNTAXES = Path(__file__).parents[3] / "shared" / "data" / "dicom" / "transfer-syntaxes"
BEGIN, END = "<!-- odd files: begin -->\n", "<!-- odd files: end -->\n"


def outcome(path: Path) -> str:
    """Return status and note of a file, with the number of frames if there are several."""
    found = scan([path])
    outcomes = Counter(f"{one.error.status} | {one.error.note}" for one in found.all_refused())
    for ref in (one for series in found.series for one in series.slices):
        try:
            ct = load(ref)
            outcomes[f"{ct.status} | {'; '.join(ct.notes)}"] += 1
        except InputError as error:
            outcomes[f"{error.status} | {error.note}"] += 1
    (status, count), *more = outcomes.most_common()
    assert not more, "the frames of one file have different outcomes"
    return status.rstrip() + (f" ({count} frames)" if count > 1 else "")


def pydicom_rows() -> list[str]:
    """Return a row for each test file of pydicom; over five equal ones in a folder share a row.

    DICOMDIR files are left out: each stands for its folder.
    """
    files = [path for path in sorted(PYDICOM.rglob("*")) if path.is_file()]
    named = [path for path in files if path.name != "DICOMDIR"]
    rows = []
    for folder, inside in groupby(named, lambda path: path.parent):
        for what, alike in groupby(inside, outcome):
            files = list(alike)
            if len(files) > 5 and folder != PYDICOM:
                shown = [f"{folder.relative_to(PYDICOM).as_posix()}/ ({len(files)} files)"]
            else:
                shown = [path.relative_to(PYDICOM).as_posix() for path in files]
            rows += [f"| {name} | {what} |" for name in shown]
    return rows


def syntax_rows() -> list[str]:
    """Return a row for each transfer syntax."""
    copies = sorted(SYNTAXES.glob("*.dcm"))
    return [f"| {path.stem.replace('CTImage.dcm_', '')} | {outcome(path)} |" for path in copies]


def table(pydicom_part: list[str], syntax_part: list[str]) -> str:
    """Return both tables in Markdown."""
    head = "| file | status | note |\n| --- | --- | --- |\n"
    return (
        f"{BEGIN}<details><summary>pydicom {pydicom.__version__}: its test files</summary>\n\n"
        + head
        + "\n".join(pydicom_part)
        + "\n\n</details>\n\n<details><summary>One CT slice in 14 transfer syntaxes "
        "(cornerstone's WADO image loader)</summary>\n\n"
        + head
        + "\n".join(syntax_part)
        + f"\n\n</details>\n{END}"
    )


def main() -> None:
    """Write the table into docs/dicom.md."""
    text = DOCS.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    DOCS.write_text(before + table(pydicom_rows(), syntax_rows()) + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
