"""Find the CT slices in files, folders and zips; decode them one by one.

for series in scan(["study/"]).series:      # reads headers only
for ref in series.slices:
ct = load(ref)                      # decodes one slice to HU
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    Geometry,
    Limits,
    Rescale,
    Seekable,
    SliceId,
    Source,
    archive_members,
    holds_tar,
    packed_kind,
    printable,
    read_file,
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
from ich_cli.core.nifti import NiftiFrame, read_planes
from ich_cli.core.pictures import (
    NO_WINDOW,
    PictureWindow,
    is_picture,
    read_picture,
)
from ich_cli.core.series.copies import without_copies
from ich_cli.core.series.grouping import group
from ich_cli.core.series.loading import load
from ich_cli.core.series.types import Refused, Scan, SliceRef
from ich_cli.core.system import Names, as_named

_MANY: Final = 1000
"""Number of files from which other processes help to read headers; one takes about 0.8 ms."""
_PIECE: Final = 64  # files a process reads before it returns them
_ENDINGS: Final = (".dcm", ".dicom", ".dic", ".ima")  # a file with such a name is meant as DICOM

Found = list[SliceRef | Refused]
"""What one file, or one member of a zip, holds."""


def scan(
    paths: Sequence[str | Path],
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int], None] | None = None,
    names: Names = as_named,
    pool: Executor | None = None,
    window: PictureWindow | None = None,
) -> Scan:
    """Find the slices in files, folders and zips. Reads headers, decodes nothing.

    Parameters
    ----------
    paths
        Files, folders, zips, or a DICOMDIR, which stands for its folder. Content decides the type
        of a file, not its name.
    limits
        Bounds on file size, memory and time.
    progress
        Called after each file with the number of files read.
    names
        Names of files in rows, notes and errors; `AnonymousNames` hashes them.
    pool
        Pool of `worker_processes` that helps where there are many files; None reads in this
        process.
    window
        Window of PNG and JPEG files; None refuses them.

    Returns
    -------
    Scan
        Series in the order of their first files, and the files that cannot be used. Files are in
        the order of `paths`, folders in natural order.

    Raises
    ------
    NothingFoundError
        If a path does not exist, or there is no file at all.
    """
    found: Found = []
    sources = list(walk([Path(path) for path in paths], names, limits))
    for count, of_file in enumerate(_found(sources, limits, names, pool, window), 1):
        found.extend(of_file)
        if progress is not None:
            progress(count)
    if not found:
        shown = ", ".join(names(printable(str(path))) for path in paths) or "no path given"
        raise NothingFoundError(f"{shown}: no file there; name DICOM files, folders or zips")
    result = group(without_copies(found, limits))
    if any(not ref.format.native for series in result.series for ref in series.slices):
        CODECS.warm()  # started here, ready by the time the model is
    return result


def glimpse(paths: Sequence[str | Path], limits: Limits = DEFAULT_LIMITS) -> SliceRef | None:
    """Find a slice near the middle, to show before `scan` has read all files.

    Parameters
    ----------
    paths, limits
        As for `scan`.

    Returns
    -------
    SliceRef or None
        Middle frame of the middle file, or of the middle member if it is a zip; None if that is no
        CT slice. `scan` returns it, too, with the same ``source`` and ``id``.
    """
    try:
        frames = _middle_file([Path(path) for path in paths], limits)
    except InputError:
        return None  # `scan` reads it again, and reports the error
    return frames[len(frames) // 2] if frames else None


def _middle_file(paths: list[Path], limits: Limits) -> list[SliceRef]:
    found = _read_middle(list(walk(paths, limits=limits)), limits)
    if isinstance(found, Source):
        found = _read_middle(list(archive_members(found, limits)), limits)
    return [] if isinstance(found, Source) else [one for one in found if isinstance(one, SliceRef)]


def _read_middle(sources: list[Source | InputError], limits: Limits) -> Found | Source:
    """Return the frames of the middle file, or its source where it is a zip."""
    middle = sources[len(sources) // 2] if sources else None
    if not isinstance(middle, Source):
        return []
    found = _read(middle, limits)
    return middle if found is None else found


def read_slices(*paths: str | Path, limits: Limits = DEFAULT_LIMITS) -> Iterator[CTSlice]:
    """Yield the CT slices of files, folders and zips, decoded to HU.

    Parameters
    ----------
    *paths
        As for `scan`.
    limits
        Bounds on file size, memory and time.

    Yields
    ------
    CTSlice
        Series by series, each in anatomical order.

    Raises
    ------
    IchError
        At the first file that cannot be used and is no copy. Use `scan` and `load` to go on
        after it.
    """
    found = scan(paths, limits)
    for series in found.series:
        for ref in series.slices:
            yield load(ref, limits)
        _raise_first(series.refused)
    _raise_first(found.refused)


def _raise_first(refused: Iterable[Refused]) -> None:
    """Raise the error of the first file that is not merely a copy."""
    for one in refused:
        if one.error.code is not ReasonCode.COPY:
            raise one.error


def _found(
    sources: Sequence[Source | InputError],
    limits: Limits,
    names: Names,
    pool: Executor | None,
    window: PictureWindow | None,
) -> Iterator[Found]:
    """Yield the content of each file; of a zip, member by member."""
    if pool is None or len(sources) < _MANY:
        for source in sources:
            yield from _of_source(source, limits, names, window)
        return
    read = partial(_of_sources, limits=limits, names=names, window=window)
    pieces = [sources[i : i + _PIECE] for i in range(0, len(sources), _PIECE)]
    for piece, job in [(piece, pool.submit(read, piece)) for piece in pieces]:
        try:
            yield from job.result()
        except BrokenProcessPool:  # a process was killed, perhaps for its memory: read here
            yield from read(piece)


def _of_sources(
    sources: Sequence[Source | InputError],
    limits: Limits,
    names: Names,
    window: PictureWindow | None,
) -> list[Found]:
    return [found for source in sources for found in _of_source(source, limits, names, window)]


def _of_source(
    source: Source | InputError, limits: Limits, names: Names, window: PictureWindow | None
) -> Iterator[Found]:
    """Yield the content of a file, or of each member of a zip."""
    if isinstance(source, InputError):
        yield [Refused.of(source)]
        return
    found = _read(source, limits, window)
    if found is not None:
        yield found
        return
    try:
        yield from _zip(source, limits, names, window)
    except InputError as error:  # a damaged zip: the rest of it is unknown
        yield [Refused.of(error)]


def _zip(
    source: Source, limits: Limits, names: Names, window: PictureWindow | None
) -> Iterator[Found]:
    held: list[Found] = []  # until a member is DICOM: a spreadsheet is a zip, too
    dicom = False
    for member in archive_members(source, limits, names):
        if isinstance(member, InputError):
            found: Found = [Refused.of(member)]
        else:
            found = _read(member, limits, window) or []
        held.append(found)
        dicom = dicom or not all(_is_other(one, source) for one in found)
        if dicom:
            yield from held
            held = []
        if any(map(_is_timeout, found)):
            break  # the rest of the zip would time out, too
    if not dicom:
        pictures = any(_is_picture(one) for of_member in held for one in of_member)
        remedy = NO_WINDOW if pictures else ""
        yield [Refused.of(_other(source, "a zip without DICOM", remedy))]
    else:
        yield from held


def _is_picture(found: SliceRef | Refused) -> bool:
    return isinstance(found, Refused) and found.error.code is ReasonCode.PICTURE


def _is_timeout(found: SliceRef | Refused) -> bool:
    return isinstance(found, Refused) and found.error.code is ReasonCode.TIMEOUT


def _is_other(found: SliceRef | Refused, archive: Source) -> bool:
    """Return whether a member gives no hint that the archive holds DICOM.

    Zips of other formats (NumPy's ``.npz``, office documents) may compress better than CT ever
    does. Their members beyond the ratio limit are no attack.
    """
    if isinstance(found, SliceRef):
        return False
    error = found.error
    if isinstance(error, LimitError):
        return archive.found and not (archive.real or archive.name).lower().endswith(".zip")
    codes = (ReasonCode.NOT_DICOM, ReasonCode.PICTURE)
    return isinstance(error, NotApplicableError) and error.code in codes


def _read(source: Source, limits: Limits, window: PictureWindow | None = None) -> Found | None:
    """Read the header of a file or member; None where it is a zip to open."""

    def read(raw: Seekable, size: int | None) -> Found | None:
        read_at = stamp(source)
        raw.seek(0)
        head = raw.read(132)
        kind = sniff(head)
        if kind == "zip" and source.entry is None:
            return None
        if kind == "other" and is_picture(head):
            return [_picture(source, raw, limits, window, read_at)]
        if kind in ("gzip", "other"):
            planes = read_planes(raw, source.name, limits, compressed=kind == "gzip")
            if planes is not None:
                return [_plane_ref(source, plane, read_at) for plane in planes]
            if holds_tar(raw, source.name, limits, compressed=kind == "gzip"):
                return None if source.entry is None else [Refused.of(_nested(source))]
        if kind not in ("dicom", "bare"):
            return [Refused.of(_no_dicom(source, kind, packed_kind(head)))]
        return [
            Refused.of(one) if isinstance(one, InputError) else slice_ref(source, one, read_at)
            for one in read_frames(raw, size, source.name, limits)
        ]

    try:
        return read_file(source, limits, read)
    except InputError as error:
        return [Refused.of(error)]


def _nested(source: Source) -> InputError:
    return BrokenFileError(source.name, "a tar inside an archive is not opened", "unpack it first")


def _no_dicom(source: Source, kind: str, packed: str) -> InputError:
    if kind == "zip":
        return BrokenFileError(source.name, "a zip inside a zip is not opened", "unpack it first")
    if kind == "gzip":
        return _other(source, "a gzip file", "unpack it first")
    if packed:
        return _other(source, packed, "unpack it first")
    return _other(source, "an empty file" if kind == "empty" else "")


def _other(
    source: Source, what: str = "", remedy: str = "", code: ReasonCode = ReasonCode.NOT_DICOM
) -> InputError:
    """Return the error for a file that is not DICOM: failed if it was named or looks like it."""
    reason = f"not DICOM: {what}" if what else "not DICOM"
    base = (source.real or source.name).replace("!", "/").rsplit("/", 1)[-1].lower()
    if source.found and (base.startswith("._") or not base.endswith(_ENDINGS)):
        return NotApplicableError(source.name, reason, remedy, code)
    remedy = remedy or "name DICOM files, folders or zips"
    return BrokenFileError(source.name, reason, remedy, code)


def slice_ref(source: Source, frame: Frame, read_at: tuple[int, int]) -> SliceRef:
    """Return the slice of a frame whose header was read."""
    study, own = sys.intern(frame.id.study_uid), sys.intern(frame.id.series_uid)
    return SliceRef(
        source=source,
        id=frame.id._replace(study_uid=study, series_uid=own),
        geometry=frame.geometry,
        notes=frame.notes,
        format=frame.format,
        rescale=frame.rescale,
        stamp=read_at,
        patient=frame.patient,
        stack=frame.stack,
        synthetic=frame.synthetic,
    )


def _plane_ref(source: Source, frame: NiftiFrame, read_at: tuple[int, int]) -> SliceRef:
    return SliceRef(
        source=source,
        id=frame.id,
        geometry=frame.geometry,
        notes=frame.notes,
        format=frame.plane,
        rescale=Rescale(None, None),
        stamp=read_at,
    )


def _picture(
    source: Source,
    raw: Seekable,
    limits: Limits,
    window: PictureWindow | None,
    read_at: tuple[int, int],
) -> SliceRef | Refused:
    """Return the slice of a picture: it has a name and a size, no UIDs and no geometry."""
    if window is None:
        return Refused.of(_other(source, "a picture", NO_WINDOW, ReasonCode.PICTURE))
    return SliceRef(
        source=source,
        id=SliceId(source.name),
        geometry=Geometry(),
        notes=(),
        format=read_picture(raw, source.name, limits, window),
        rescale=Rescale(None, None),
        stamp=read_at,
    )
