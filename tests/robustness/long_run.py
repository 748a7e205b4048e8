"""Compare a long run that is killed ten times with an unbroken one.

``python -m tests.robustness.long_run``

Writes many small series (copies of a phantom's slices with their own UIDs), a share of the files
broken in a dozen ways, and a tiny bundle. Predicts them twice: once unbroken, with the memory
watched, and once killed by SIGKILL at random moments, which the seed decides, and resumed. Every
file must have its row, and both tables of the second run must equal those of the first, byte for
byte.

``--light`` replaces the network by sums of pixels; of the resumed runs only the last one reads all
headers again.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pydicom
from pydicom.uid import JPEG2000Lossless

ROOT = Path(__file__).resolve().parents[2]
SLICES = 5  # of a series
SERIES = 2  # of a study
SIDE = 32
KILLED = -9
LIGHT: dict[bool, dict[str, str]] = {False: {}, True: {"ICH_TEST_LIGHT": "1"}}


@dataclass
class Corpus:
    """Files on disk, and what was put there."""

    folder: Path
    files: int = 0
    broken: Counter[str] = field(default_factory=Counter)


@dataclass
class Ended:
    """How a run ended."""

    moment: str
    """When it was killed; see `tests.robustness.killed_process`."""
    code: int
    printed: str
    told: str
    seconds: float


def make_corpus(folder: Path, rows: int, broken_share: float, seed: int) -> Corpus:
    """Write `rows` files into folders of a study each; the broken ones lie among the others."""
    chance, corpus = random.Random(seed), Corpus(folder)
    shelf = folder.with_name(f"{folder.name}.kinds")
    templates, kinds = _templates(), _broken(shelf)
    for number in range(rows):
        series, place = divmod(number, SLICES)
        home = folder / f"{series // SERIES:06d}"
        if place == 0:
            home.mkdir(parents=True, exist_ok=True)
        target = home / f"{number:08d}"
        if chance.random() < broken_share:
            kind = chance.choice(sorted(kinds))
            os.link(kinds[kind], target)  # one of a kind is enough
            corpus.broken[kind] += 1
        else:
            target.write_bytes(_stamped(templates[place], number))
        corpus.files += 1
    shutil.rmtree(shelf)  # the links stay
    return corpus


def _templates() -> list[bytes]:
    """Return slices of a phantom, made small, under the UIDs of slice 0."""
    from ich_cli.core.phantom import write_studies

    with tempfile.TemporaryDirectory(prefix="ich-long-") as folder:
        write_studies(Path(folder), 1, 3, size=64, slices=(SLICES, SLICES), thickness=(8, 10))
        paths = sorted(Path(folder).rglob("*.dcm"))
        return [_small(pydicom.dcmread(path)) for path in paths]


def _small(image: pydicom.Dataset) -> bytes:
    step = image.Rows // SIDE
    image.PixelData = image.pixel_array[::step, ::step].tobytes()
    image.Rows = image.Columns = SIDE
    image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID = _uids(0)
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return _bytes(image)


def _uids(number: int) -> tuple[str, str, str]:
    """Return a slice's UIDs of study, series and instance; all numbers give the same lengths."""
    series = number // SLICES
    return (
        f"2.25.11{series // SERIES:012d}", f"2.25.22{series:012d}", f"2.25.33{number:012d}",
    )  # fmt: skip


def _stamped(template: bytes, number: int) -> bytes:
    for old, new in zip(_uids(0), _uids(number), strict=True):
        template = template.replace(old.encode(), new.encode())
    return template


def _bytes(image: pydicom.Dataset) -> bytes:
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _broken(shelf: Path) -> dict[str, Path]:
    """Write one file of each kind of broken or foreign file; return kind → path."""
    shelf.mkdir(parents=True)
    sound = _templates()[0]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("notes.txt", "hello")
    contents = {
        "empty": b"",
        "text": b"hello\n" * 50,
        "noise": random.Random(0).randbytes(3000),
        "gzip": gzip.compress(sound),
        "zip without DICOM": archive.getvalue(),
        "header cut": sound[:400],
        "pixels cut": sound[:-500],
        "no pixels": _changed(sound, PixelData=None),
        "MR": _changed(sound, Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4"),
        "localizer": _changed(sound, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        "no rows": _changed(sound, Rows=0),
        "junk as JPEG 2000": _junk(sound),
    }
    for kind, content in contents.items():
        (shelf / kind).write_bytes(content)
    return {kind: shelf / kind for kind in contents}


def _changed(sound: bytes, **values: object) -> bytes:
    image = pydicom.dcmread(io.BytesIO(sound))
    for keyword, value in values.items():
        if value is None:
            del image[keyword]
        else:
            setattr(image, keyword, value)
    return _bytes(image)


def _junk(sound: bytes) -> bytes:
    image = pydicom.dcmread(io.BytesIO(sound))
    image.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + b"junk" * 100])
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = JPEG2000Lossless
    return _bytes(image)


def make_bundle(folder: Path) -> Path:
    """Write a small random bundle whose answers differ from slice to slice."""
    import torch

    from ich_cli.core.bundle import BundleConfig, save_bundle
    from ich_cli.core.model import build_model
    from ich_cli.core.preprocessing import PreprocessConfig

    torch.manual_seed(0)
    model = build_model("test_resnet")
    torch.nn.init.normal_(model.get_classifier().weight, std=0.5)  # type: ignore[operator]
    training = {"real_ct": False, "data": "nothing: random numbers"}
    save_bundle(folder, model, BundleConfig("test_resnet", training, PreprocessConfig(size=32)))
    return folder


def predict(
    scans: Path,
    output: Path,
    bundle: Path,
    *more: str,
    moment: str = "never",
    every: int = 0,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Ended:
    """Run ``ich predict`` in a process of its own, which is killed at `moment`."""
    command = [
        sys.executable,
        "-m",
        "tests.robustness.killed_process",
        moment,
        str(every),
        "predict",
        str(scans),
    ]
    command += ["-o", str(output), "--by", "study", "--workers", "1", *more]
    own = {"ICH_WEIGHTS": str(bundle), "OMP_NUM_THREADS": "1", **variables}
    start = time.perf_counter()
    run = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **own}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return Ended(moment, run.returncode, run.stdout, run.stderr, time.perf_counter() - start)


def moments(rows: int, kills: int, seed: int) -> list[str]:
    """Return random moments: in and after parts, the last one in the writing of the table."""
    chance = random.Random(seed)
    each = max(1, rows // SLICES // 2 // kills)  # parts a run writes before it is killed, at most
    chosen = []
    for number in range(kills - 1):
        part, percent = chance.randrange(each), chance.randrange(100)
        chosen.append(f"named:{part}" if number % 3 == 2 else f"part:{part}:{percent}")
    return [*chosen, f"table:{chance.randrange(1, rows)}"]


def kill_and_resume(
    scans: Path, output: Path, bundle: Path, rows: int, kills: int, seed: int, light: bool = False
) -> Iterator[Ended]:
    """Kill a run at `kills` random moments, then let it end; yield how each run ended."""
    resume: list[str] = []
    kept = {"ICH_TEST_SCAN": str(scans.with_name("scan.pickle"))} if light else {}
    for moment in (*moments(rows, kills, seed), "never"):
        shared = {} if moment == "never" else kept
        yield predict(
            scans, output, bundle, *resume, moment=moment, variables={**LIGHT[light], **shared}
        )
        resume = ["--resume"]


def studies_of(output: Path) -> Path:
    """Return the path of the table of studies beside a table."""
    return output.with_name(f"{output.stem}.studies{output.suffix}")


def check_rows(table: Path, corpus: Corpus) -> Counter[str]:
    """Return status → rows, after a look that every file has exactly one."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = [(row["path"], row["status"]) for row in csv.DictReader(file)]
    named = Counter(path for path, _ in rows)
    there = {str(path) for path in corpus.folder.rglob("*") if path.is_file()}
    if set(named) != there or max(named.values()) > 1:
        raise SystemExit(f"{len(there - set(named))} files have no row")
    return Counter(status for _, status in rows)


def main() -> None:
    """Make the files, run, compare, tell."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="ich-long-run-", dir=options.folder) as name:
        folder = Path(name)
        start = time.perf_counter()
        corpus = make_corpus(folder / "scans", options.rows, options.broken, options.seed)
        bundle = make_bundle(folder / "bundle")
        say(f"seed {options.seed}: {corpus.files:,} files of {SIDE} x {SIDE} pixels, "
             f"{corpus.broken.total():,} of them broken in {len(corpus.broken)} ways, "
             f"made in {time.perf_counter() - start:.0f} s")  # fmt: skip
        whole = folder / "whole.csv"
        every, light = max(1, options.rows // 12), LIGHT[options.light]
        _tell_whole(predict(corpus.folder, whole, bundle, every=every, variables=light))
        say(f"every file has its row: {dict(check_rows(whole, corpus))}")
        _compare(folder, corpus, bundle, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.robustness.long_run", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--broken", type=float, default=0.01, help="share of broken files")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--light", action="store_true", help="test the run, not the network")
    parser.add_argument("--folder", type=Path, help="where to work; 500 MB for 100,000 rows")
    return parser.parse_args()


def _tell_whole(run: Ended) -> None:
    if run.code:
        raise SystemExit(f"the run failed: {run.told}")
    *samples, peak = [line.split() for line in run.printed.splitlines()]
    rate = next(line for line in run.told.splitlines() if "slices/s" in line)
    say(f"unbroken run: {run.seconds:.0f} s; {rate}")
    say("resident memory in MiB: " + ", ".join(f"row {row}: {mib}" for row, mib in samples))
    say(f"at most, the writing of the tables included: {peak[1]} MiB")


def _compare(folder: Path, corpus: Corpus, bundle: Path, options: argparse.Namespace) -> None:
    whole, broken = folder / "whole.csv", folder / "broken.csv"
    how = options.kills, options.seed, options.light
    for run in kill_and_resume(corpus.folder, broken, bundle, corpus.files, *how):
        say(f"{run.moment}: exit code {run.code}, {run.seconds:.0f} s")
        if run.code != (0 if run.moment == "never" else KILLED):
            raise SystemExit(f"not as expected: {run.told}")
    check_equal(whole, broken)
    left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    say(f"left behind: {', '.join(left) or 'nothing'}")


def check_equal(whole: Path, table: Path) -> None:
    """Compare two tables, and those of their studies, byte for byte."""
    for one, other in ((whole, table), (studies_of(whole), studies_of(table))):
        if one.read_bytes() != other.read_bytes():
            raise SystemExit(f"{one.name} and {other.name} differ")
        say(f"{one.name} and {other.name}: equal, byte for byte")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
