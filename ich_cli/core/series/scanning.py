"""Find the CT slices in files, folders and zips; decode them one by one.

for entry in scan(["study/"]):          # headers only
if isinstance(entry, FrameRef):
ct = load(entry)                # one frame, in HU
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Final

from ich_cli.core.dicom import (
    CODECS,
    DEFAULT_LIMITS,
    CTSlice,
    Frame,
    Limits,
    Source,
    members,
    natural,
    opened,
    printable,
    read_frames,
    sniff,
    stamp,
    walk,
)
from ich_cli.core.errors import (
    BrokenFileError,
    InputError,
    LimitError,
    NotApplicableError,
    NothingFoundError,
    ReasonCode,
)
from ich_cli.core.series.frame_ref import FrameRef
from ich_cli.core.series.loading import load
from ich_cli.core.series.ordering import gather
from ich_cli.core.system import Names, as_named, run_with_deadline

__all__ = [
    "FrameRef", "Source", "glimpse", "load", "natural", "neighbours", "read_slices", "scan",
]  # fmt: skip

_MANY: Final = 1000
"""Files that are worth the start of other processes: a header takes about 0.8 ms."""
_PIECE: Final = 64  # files that a process looks at before it tells
_ENDINGS: Final = (".dcm", ".dicom", ".dic", ".ima")  # who names a file so means DICOM


def scan(
    paths: Sequence[str | Path],
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int], None] | None = None,
    names: Names = as_named,
    pool: Executor | None = None,
) -> list[FrameRef | InputError]:
    """Find the slices in files, folders and zips; read headers, decode nothing.

    Parameters
    ----------
    paths
        Files, folders, zips, or a DICOMDIR, which stands for its folder. What a file is, its
        content decides.
    limits
        Bounds on what is tried.
    progress
        Called after each file with the number of files looked at.
    names
        What files are called in rows, notes and errors; `AnonymousNames` hashes them.
    pool
        Of `worker_processes`, which look at the files where there are many; None: this one does.

    Returns
    -------
    list of FrameRef or InputError
        At least one entry a file. Files are in the order of `paths`, folders in natural order;
        the slices of a series stand together at the place of its first file, from the feet to the
        head.

    Raises
    ------
    NothingFoundError
        If a path does not exist, or there is no file at all.
    """
    entries: list[FrameRef | InputError] = []
    sources = list(walk([Path(path) for path in paths], names, limits))
    for count, found in enumerate(_found(sources, limits, names, pool), 1):
        entries.extend(found)
        if progress is not None:
            progress(count)
    if not entries:
        shown = ", ".join(names(printable(str(path))) for path in paths) or "no path given"
        raise NothingFoundError(f"{shown}: no file there; name DICOM files, folders or zips")
    if any(isinstance(entry, FrameRef) and not entry.format.native for entry in entries):
        CODECS.warm()  # is ready by the time the model is
    return gather(entries)


def glimpse(paths: Sequence[str | Path], limits: Limits = DEFAULT_LIMITS) -> FrameRef | None:
    """Find a slice about the middle, so that there is something to see before `scan` is through.

    Parameters
    ----------
    paths, limits
        As for `scan`.

    Returns
    -------
    FrameRef or None
        The middle frame of the middle file, or of the middle member of the zip that it is; None
        where that is no CT slice. `scan` has it too, with the same ``source`` and ``id``.
    """
    look = partial(_glimpse, [Path(path) for path in paths], limits)
    try:
        frames = run_with_deadline(look, limits.max_read_seconds, "")
    except InputError:
        return None  # `scan` comes to it again, and says why
    return frames[len(frames) // 2] if frames else None


def _glimpse(paths: list[Path], limits: Limits) -> list[FrameRef]:
    """Return the frames of the middle file."""
    found: list[Source | InputError] = list(walk(paths, limits=limits))
    middle = found[len(found) // 2] if found else None
    read = _read(middle, limits) if isinstance(middle, Source) else []
    if read is None and isinstance(middle, Source):
        found = list(members(middle, limits))
        middle = found[len(found) // 2] if found else None
        read = _read(middle, limits) if isinstance(middle, Source) else []
    return [frame for frame in read or () if isinstance(frame, FrameRef)]


def read_slices(*paths: str | Path, limits: Limits = DEFAULT_LIMITS) -> Iterator[CTSlice]:
    """Yield the CT slices of files, folders and zips in order, decoded to HU.

    Parameters
    ----------
    *paths
        As for `scan`.
    limits
        Bounds on what is tried.

    Raises
    ------
    IchError
        At the first file that cannot be used. Use `scan` and `load` to go on behind it.
    """
    for entry in scan(paths, limits):
        if isinstance(entry, InputError):
            raise entry
        yield load(entry, limits)


def neighbours(
    refs: Sequence[FrameRef | InputError], index: int, context: int
) -> list[FrameRef | None]:
    """Return the slices around one in its series.

    Parameters
    ----------
    refs
        As `scan` returned them.
    index
        Which one.
    context
        How many on each side.

    Returns
    -------
    list of FrameRef or None
        ``2 * context`` entries, those before it first, each in anatomical order; None past the
        ends of the series.
    """
    centre = refs[index]
    offsets = [step for step in range(-context, context + 1) if step]
    return [_neighbour(refs, centre, index + step) for step in offsets]


def _neighbour(
    refs: Sequence[FrameRef | InputError], centre: FrameRef | InputError, at: int
) -> FrameRef | None:
    other = refs[at] if 0 <= at < len(refs) else None
    if isinstance(other, FrameRef) and isinstance(centre, FrameRef):
        return other if other.series == centre.series else None
    return None


def _found(
    sources: Sequence[Source | InputError], limits: Limits, names: Names, pool: Executor | None
) -> Iterator[list[FrameRef | InputError]]:
    """Yield the entries of one file or member after the other."""
    look = partial(_look, limits=limits, names=names)
    if pool is None or len(sources) < _MANY:
        for source in sources:
            yield from _asked(source, limits, names)
        return
    pieces = [sources[i : i + _PIECE] for i in range(0, len(sources), _PIECE)]
    for piece, job in [(piece, pool.submit(look, piece)) for piece in pieces]:
        try:
            yield from job.result()
        except BrokenProcessPool:  # a process was killed, for its memory perhaps: go on alone
            yield from look(piece)


def _look(
    sources: Sequence[Source | InputError], limits: Limits, names: Names
) -> list[list[FrameRef | InputError]]:
    return [found for source in sources for found in _asked(source, limits, names)]


def _asked(
    source: Source | InputError, limits: Limits, names: Names
) -> Iterator[list[FrameRef | InputError]]:
    """Yield the entries of a file; of a zip, member by member; each within its time."""
    if isinstance(source, InputError):
        yield [source]
        return
    seconds = limits.max_read_seconds
    try:
        read = run_with_deadline(partial(_read, source, limits), seconds, source.name)
        if read is not None:
            yield read
            return
        steps = partial(next, _zip(source, limits, names), None)
        while (found := run_with_deadline(steps, seconds, source.name)) is not None:
            yield found
    except InputError as error:  # no answer, or no zip: what follows in it is not known
        yield [error]


def _zip(source: Source, limits: Limits, names: Names) -> Iterator[list[FrameRef | InputError]]:
    held: list[list[FrameRef | InputError]] = []  # until there is DICOM: it may be a spreadsheet
    dicom = False
    for member in members(source, limits, names):
        held.append([member] if isinstance(member, InputError) else _read(member, limits) or [])
        dicom = dicom or not all(_is_other(entry, source) for entry in held[-1])
        if dicom:
            yield from held
            held = []
    if not dicom:
        yield [_other(source, "a zip without DICOM")]
    else:
        yield from held


def _is_other(entry: FrameRef | InputError, archive: Source) -> bool:
    """Say whether a member gives no hint of DICOM.

    What is zipped inside but not named so (NumPy's ``.npz``, an office document) may pack better
    than CT ever does: there a member beyond the ratio is no bomb that somebody meant to be read.
    """
    if isinstance(entry, LimitError):
        return archive.found and not (archive.real or archive.name).lower().endswith(".zip")
    return isinstance(entry, NotApplicableError) and entry.code is ReasonCode.NOT_DICOM


def _read(source: Source, limits: Limits) -> list[FrameRef | InputError] | None:
    """Read the header of one file or member; None where it is a zip to look into."""
    try:
        read_at = stamp(source)
        with opened(source, limits) as (raw, size):
            raw.seek(0)
            kind = sniff(raw.read(132))
            if kind == "zip" and source.entry is None:
                return None
            if kind not in ("dicom", "bare"):
                return [_no_dicom(source, kind)]
            frames = read_frames(raw, size, source.name, limits)
        return [
            frame if isinstance(frame, InputError) else _ref(source, frame, read_at)
            for frame in frames
        ]
    except InputError as error:
        return [error]


def _no_dicom(source: Source, kind: str) -> InputError:
    if kind == "zip":
        return BrokenFileError(source.name, "a zip inside a zip is not opened", "unpack it first")
    if kind == "gzip":
        return _other(source, "a gzip file", "unpack it first")
    return _other(source, "an empty file" if kind == "empty" else "")


def _other(source: Source, what: str = "", remedy: str = "") -> InputError:
    """Return the row of a file that is no DICOM: failed where the user meant it to be."""
    reason = f"not DICOM: {what}" if what else "not DICOM"
    code = ReasonCode.NOT_DICOM
    base = (source.real or source.name).replace("!", "/").rsplit("/", 1)[-1].lower()
    if source.found and (base.startswith("._") or not base.endswith(_ENDINGS)):
        return NotApplicableError(source.name, reason, remedy, code)
    remedy = remedy or "name DICOM files, folders or zips"
    return BrokenFileError(source.name, reason, remedy, code)


def _ref(source: Source, frame: Frame, read_at: tuple[int, int]) -> FrameRef:
    place = source.path if source.entry is not None else source.path.parent
    size = f"{frame.format.rows}x{frame.format.columns}"
    series = frame.id.series_uid or f"{place} {frame.id.study_uid} {size}"
    study, own = sys.intern(frame.id.study_uid), sys.intern(frame.id.series_uid)
    return FrameRef(
        source=source,
        id=frame.id._replace(study_uid=study, series_uid=own),
        geometry=frame.geometry,
        notes=frame.notes,
        series=sys.intern(series),
        format=frame.format,
        rescale=frame.rescale,
        stamp=read_at,
        patient=frame.patient,
    )
