"""One run in several processes: the table is the one that a single process writes."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ich_cli.core.errors import BrokenFileError, OutputError
from ich_cli.core.phantom import write_studies
from ich_cli.core.predict import Format, Journal, Part, Predictor, Rank, all_there, write_tables
from ich_cli.core.predict.journal_files import journals
from ich_cli.core.series import scan
from ich_cli.core.study import SlicePrediction
from ich_cli.main import app
from tests.commands.test_predict import make_bundle as make_context_bundle
from tests.core.model.test_sequence_model import _save as make_sequence_bundle
from tests.robustness.long_run import KILLED, ROOT, make_bundle, make_corpus, studies_of
from tests.robustness.shared_run import together

TORCHRUN = [
    sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
    "--nproc-per-node", "2", "-m",
]  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve series in six studies, a tenth of the files broken, and one series in a zip."""
    folder = tmp_path_factory.mktemp("corpus")
    scans = make_corpus(folder / "scans", 60, 0.1, 5).folder
    write_studies(folder / "more", 1, 9, size=64, slices=(4, 4), thickness=(8, 10))
    with zipfile.ZipFile(scans / "more.zip", "w") as archive:
        for path in sorted((folder / "more").rglob("*.dcm")):
            archive.write(path, path.name)
    return scans


@pytest.fixture
def scans(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(corpus, "scans"))


@pytest.fixture
def predict(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run as process `rank` of `of`, one after the other in this one, as a job array may."""
    monkeypatch.setenv("ICH_WEIGHTS", str(bundle))

    def run(*arguments: str | Path, rank: int = 0, of: int = 1) -> Result:
        for name, value in (("RANK", rank), ("WORLD_SIZE", of)):
            monkeypatch.setenv(name, str(value))
        return CliRunner().invoke(app, ["predict", *map(str, arguments)], prog_name="ich")

    return run


def hidden() -> list[str]:
    return sorted(path.name for path in Path().iterdir() if path.name.startswith("."))


class TestOneAfterTheOther:
    """The processes need not live at the same time."""

    @pytest.mark.parametrize("of", [2, 3, 16])  # 16: more than there are series
    def test_the_table_is_that_of_a_single_process(
        self, of: int, scans: Path, predict: Any
    ) -> None:
        assert predict(scans, "-o", "one.csv", "--by", "study").exit_code == 0

        told = []
        for number in range(of):
            done = predict(scans, "-o", "out.csv", "--by", "study", rank=number, of=of)
            assert done.exit_code == 0, done.stderr
            assert done.stderr.count(f"process {number} of {of}") == (number == 0)
            told.append("written: out.csv, out.studies.csv" in done.stderr)
            assert ("joined from" in done.stderr) == told[-1]
            assert Path("out.csv").exists() == any(told)

        assert told.count(True) == 1  # by the last one that has a series
        assert Path("out.csv").read_bytes() == Path("one.csv").read_bytes()
        assert studies_of(Path("out.csv")).read_bytes() == studies_of(Path("one.csv")).read_bytes()
        assert hidden() == []

    @pytest.mark.parametrize("kind", ["context", "sequence"])
    def test_a_model_that_looks_at_a_series_sees_all_of_it(
        self, kind: str, scans: Path, predict: Any, tmp_path: Path
    ) -> None:
        folder = tmp_path / kind
        made = make_context_bundle(folder, 2) if kind == "context" else make_sequence_bundle(folder)
        looks_around = ("-w", made)
        one = predict(scans, *looks_around).stdout

        for number in range(3):
            predict(scans, *looks_around, "-o", "out.csv", rank=number, of=3)

        assert Path("out.csv").read_text() == one

    def test_one_series_only(self, scans: Path, predict: Any) -> None:
        one = predict(scans / "more.zip").stdout

        ends = [predict(scans / "more.zip", "-o", "out.csv", rank=n, of=3) for n in range(3)]

        assert [end.exit_code for end in ends] == [0, 0, 0]
        assert Path("out.csv").read_text() == one
        assert hidden() == []

    @pytest.mark.slow
    def test_json_and_pages_are_written_once(self, scans: Path, predict: Any) -> None:
        command = (scans / "000000", "-o", "out.parquet", "--json", "--report", "pages")
        one = predict(*command)
        table = Path("out.parquet").read_bytes()
        pages = {path.name for path in Path("pages").iterdir()}
        shutil.rmtree("pages")
        Path("out.parquet").unlink()

        first, second = (predict(*command, rank=n, of=2) for n in range(2))

        assert (first.stdout, second.stdout) == ("", one.stdout)
        assert Path("out.parquet").read_bytes() == table
        assert {path.name for path in Path("pages").iterdir()} == pages
        assert "index.html" in pages

    def test_the_output_may_lie_in_the_folder_that_is_read(self, scans: Path, predict: Any) -> None:
        one = predict(scans).stdout

        for number in range(2):
            predict(scans, "-o", scans / "out.csv", rank=number, of=2)

        assert (scans / "out.csv").read_text() == one

    def test_anonymous_names_are_the_same_in_all(self, scans: Path, predict: Any) -> None:
        key = ("--anonymous-paths", "key")
        one = predict(scans, *key).stdout

        for number in range(2):
            predict(scans, "-o", "out.csv", *key, rank=number, of=2)

        assert Path("out.csv").read_text() == one
        assert "scans" not in one

    def test_without_an_output_there_is_no_place_to_meet(self, scans: Path, predict: Any) -> None:
        refused = predict(scans, rank=0, of=2)

        assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
        assert "tell of 2 processes: name a file that all of them see with -o" in refused.stderr

    def test_half_an_environment(
        self, scans: Path, predict: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.delenv("RANK", raising=False)

        refused = CliRunner().invoke(app, ["predict", str(scans)], prog_name="ich")

        assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
        assert "WORLD_SIZE is set, RANK is not" in refused.stderr

    def test_nothing_read_and_strict_are_told_by_who_joins(self, scans: Path, predict: Any) -> None:
        (scans / "junk").mkdir()
        (scans / "junk" / "a.dcm").write_text("hello")

        codes = [predict(scans / "junk", "-o", "a.csv", rank=n, of=2).exit_code for n in (1, 0)]
        strict = [predict(scans, "-o", "b.csv", "--strict", rank=n, of=2) for n in (0, 1)]

        assert codes == [0, 1]
        assert [end.exit_code for end in strict] == [0, 1]
        assert "--strict forbids it" in strict[1].stderr


def stopping_after(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process stop after so many answers, once."""
    whole = Predictor.stream

    def stream(self: Predictor, *args: Any, **options: Any) -> Any:
        for done, one in enumerate(whole(self, *args, **options)):
            if done == number:
                monkeypatch.setattr(Predictor, "stream", whole)
                raise KeyboardInterrupt
            yield one

    monkeypatch.setattr(Predictor, "stream", stream)


class TestResume:
    @pytest.mark.parametrize("numbers", [(2, 2), (2, 3), (3, 1), (1, 2), (2, 1, 2), (1, 3, 2, 1)])
    def test_another_number_of_processes_goes_on(
        self, numbers: tuple[int, ...], scans: Path, predict: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = predict(scans).stdout
        answered = []
        append = Journal.append

        def counted(self: Journal, prediction: SlicePrediction) -> None:
            answered.append(prediction.id)
            append(self, prediction)

        monkeypatch.setattr(Journal, "append", counted)
        for life, of in enumerate(numbers):
            for number in range(of):
                if life < len(numbers) - 1:
                    stopping_after(7 + number, monkeypatch)
                predict(scans, "-o", "out.csv", "--resume", rank=number, of=of)
            assert Path("out.csv").exists() == (life == len(numbers) - 1)

        assert Path("out.csv").read_text() == one
        assert hidden() == []
        rows = one.count("\n") - 1
        # at most the series in which a process was stopped is answered again, here of 5 slices
        assert rows <= len(answered) <= rows + 5 * sum(numbers[:-1])

    def test_without_resume_the_run_starts_over(
        self, scans: Path, predict: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for of in (2, 3):
            stopping_after(4, monkeypatch)
            predict(scans, "-o", "out.csv", "--resume", rank=0, of=of)
        assert hidden() == [".out.csv.partial-0-of-2", ".out.csv.partial-0-of-3"]

        ends = [predict(scans, "-o", "out.csv", rank=number, of=2) for number in range(2)]

        assert all(end.exit_code == 0 and "kept" not in end.stderr for end in ends)
        assert Path("out.csv").read_text() == predict(scans).stdout
        assert hidden() == []

    def test_other_settings_are_not_resumed(self, scans: Path, predict: Any) -> None:
        predict(scans, "-o", "out.csv", rank=0, of=2)

        for of in (1, 2, 3):
            refused = predict(scans, "-o", "out.csv", "-t", "0.9", "--resume", rank=0, of=of)
            assert "the earlier run had other thresholds" in refused.stderr

    def test_processes_that_saw_other_files_are_not_joined(self, scans: Path, predict: Any) -> None:
        predict(scans, "-o", "out.csv", rank=0, of=2)
        (scans / "new.dcm").write_text("hello")

        refused = predict(scans, "-o", "out.csv", rank=1, of=2)

        assert refused.exit_code == 1
        assert refused.stderr.count("\n") == 1
        assert "cannot join .out.csv.partial-0-of-2 into out.csv: it has other files" in (
            refused.stderr
        )

    def test_a_foreign_run_is_refused(self, scans: Path, predict: Any) -> None:
        with Journal(Path("out.csv"), Rank(0, 2)):
            for rank, of in ((0, 1), (0, 2), (1, 3)):
                refused = predict(scans, "-o", "out.csv", rank=rank, of=of)
                assert refused.stderr.endswith("another run is writing it; let it finish\n")
            assert predict(scans, "-o", "out.csv", rank=1, of=2).exit_code == 0  # a sibling
        with Journal(Path("out.csv")):
            refused = predict(scans, "-o", "out.csv", rank=0, of=2)
            assert refused.stderr.endswith("another run is writing it; let it finish\n")

    def test_a_process_that_is_through_waits_for_no_row_of_a_journal_with_a_hole(
        self, tmp_path: Path, corpus: Path
    ) -> None:
        """What a power cut leaves: zeros in place of the last rows."""
        entries = scan([corpus]).rows
        output, rank = tmp_path / "out.csv", Rank(0, 2)
        with Journal(output, rank) as journal:
            part = Part(journal, entries, rank)
            part.begin({"a": 1}, resume=False)
            for place in part.order:
                entry = entries[place]
                id = None if isinstance(entry, BrokenFileError) else getattr(entry, "id", None)
                journal.append(SlicePrediction(id or entries[part.order[0]].id))  # type: ignore[union-attr]
        with journal.path.open("r+b") as file:
            lines = file.readlines()
            file.seek(-len(lines[-1]), os.SEEK_END)
            file.write(b"\0" * (len(lines[-1]) - 1) + b"\n")

        assert not all_there(output, {"a": 1}, len(entries))
        with Journal(output, rank) as journal:
            part = Part(journal, entries, rank)
            part.begin({"a": 1}, resume=True)
            assert journal.rows_kept == len(part.order) - 1
        with pytest.raises(OutputError, match="it has other a; start all processes with one"):
            all_there(output, {"a": 2}, len(entries))

    def test_the_joining_is_undone_by_nothing(
        self, scans: Path, predict: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A full disk while the table is written: the journals of all processes stay."""
        predict(scans, "-o", "out.csv", rank=0, of=2)

        def full(*_: object) -> None:
            raise OutputError("cannot write out.csv: the disk is full")

        monkeypatch.setattr("ich_cli.core.predict.summary.replacing", full)
        failed = predict(scans, "-o", "out.csv", rank=1, of=2)
        assert "the disk is full; the rows are kept, --resume writes them" in failed.stderr
        assert list(journals(Path("out.csv")).values()) == [Rank(0, 2), Rank(1, 2)]


@pytest.mark.slow
class TestAtOnce:
    def test_one_of_two_is_killed_and_the_run_goes_on(
        self, corpus: Path, bundle: Path, tmp_path: Path
    ) -> None:
        one, out = tmp_path / "one.csv", tmp_path / "out.csv"
        arguments = (corpus, "-o", one, "--by", "study")
        assert together(["never"], bundle, *arguments)[0].code == 0
        arguments = (corpus, "-o", out, "--by", "study", "--resume")

        ends = together(["never", "row:9:40"], bundle, *arguments)

        assert [end.code for end in ends] == [0, KILLED], ends
        assert not out.exists()
        ends = together(["never", "never"], bundle, *arguments)
        assert [end.code for end in ends] == [0, 0], ends
        assert sum("written:" in end.told for end in ends) == 1
        assert out.read_bytes() == one.read_bytes()
        assert studies_of(out).read_bytes() == studies_of(one).read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "one.csv", "one.studies.csv", "out.csv", "out.studies.csv",
        ]  # fmt: skip

    def test_torchrun_restarts_a_process_that_was_killed(
        self, corpus: Path, bundle: Path, tmp_path: Path
    ) -> None:
        one, out = tmp_path / "one.csv", tmp_path / "out.csv"
        assert together(["never"], bundle, corpus, "-o", one)[0].code == 0
        launcher = [*TORCHRUN[:-1], "--max-restarts", "1", "-m"]
        own = {"ICH_WEIGHTS": str(bundle), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

        done = subprocess.run(
            [*launcher, "tests.robustness.first_killed_process",
             "1", "row:9:40", "0", "predict", str(corpus),
             "-o", str(out), "--resume"],
            cwd=ROOT, env={**os.environ, **own}, capture_output=True, text=True, check=False,
        )  # fmt: skip

        assert done.returncode == 0, done.stderr[-3000:]
        assert "SIGKILL" in done.stderr or "exitcode: -9" in done.stderr
        assert done.stderr.count("written:") == 1
        assert out.read_bytes() == one.read_bytes()


def test_tables_of_a_part_are_written_from_all_its_journals(tmp_path: Path, corpus: Path) -> None:
    entries = [entry for entry in scan([corpus]).rows if not isinstance(entry, BrokenFileError)]
    entries = [entry for entry in entries if hasattr(entry, "id")]
    output = tmp_path / "out.csv"
    for number in range(2):
        rank = Rank(number, 2)
        with Journal(output, rank) as journal:
            part = Part(journal, entries, rank)
            part.begin({}, resume=False)
            for place in part.order:
                journal.append(SlicePrediction(entries[place].id, note=str(place)))  # type: ignore[union-attr]

    with Journal(output, joins=True) as journal:
        part = Part(journal, entries, Rank())
        part.begin({}, resume=True)
        assert (part.kept, list(part.order)) == (len(entries), [])
        write_tables(part, Format.csv)

    with output.open(newline="") as file:
        assert [row["note"] for row in csv.DictReader(file)] == [
            str(n) for n in range(len(entries))
        ]
