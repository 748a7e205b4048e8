"""Identifiers planted in over 200 places: no command outputs any of them."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ich_cli.core.predict import Parts
from ich_cli.core.study import SeriesPrediction
from ich_cli.main import app
from tests.privacy.corpus import Planter
from tests.privacy.ground import Ground
from tests.privacy.searching import files_of, found_in
from tests.support.serving import serving

pytestmark = pytest.mark.slow


def test_there_are_200_places_and_the_search_finds_them(
    planted: tuple[Path, Path, Planter],
) -> None:
    scans, labels, planter = planted
    data = [data for _, data in files_of(scans)] + [labels.read_bytes()]
    found = set().union(*(found_in(one, planter.places) for one in data))

    assert len(found) >= 200
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", "xxxx PLANT100Q")
    wrapped = (
        gzip.compress(b"PLANT100Q"), stream.getvalue(), "PLANT100Q".encode("utf-16"),
        base64.b64encode(b"some text, PLANT100Q, more"), json.dumps("山田花子").encode(),
        "山田花子".encode("iso2022_jp"), "Яковлева".encode("iso8859_5"),
    )  # fmt: skip
    assert all(found_in(one, planter.places) for one in wrapped)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_predict(ending: str, ground: Ground) -> None:
    ground.anonymous("predict", ground.scans, "-o", f"out.{ending}", "--by", "study")
    ground.check()


def test_predict_to_stdout_and_as_a_submission(ground: Ground) -> None:
    ground.anonymous("predict", ground.scans, "--json")
    ground.anonymous("predict", ground.scans)
    ground.anonymous("predict", ground.scans, "-o", "sub.csv", "--format", "rsna")
    ground.check()


def test_reports_and_dicom(ground: Ground) -> None:
    ground.anonymous(
        "predict", ground.scans, "-o", "out.csv", "--report", "pages", "--dicom", "dicom"
    )
    assert list(ground.work.glob("pages/study-*.html"))
    assert list(ground.work.glob("dicom/*/report.dcm"))
    ground.check()


def test_errors_and_a_run_that_was_stopped(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = next(one for one in ground.home.iterdir() if "8" in one.stem.split()[-1:])
    ground.anonymous("predict", broken, "-o", "one.csv", code=1)
    ground.anonymous("predict", ground.home / "not there", code=1)
    ground.anonymous("explain", broken, code=1)
    ground.anonymous("predict", ground.scans, "--strict", code=1)
    write = Parts.write

    def interrupted(self: Parts, prediction: SeriesPrediction) -> None:
        write(self, prediction)
        raise KeyboardInterrupt

    monkeypatch.setattr(Parts, "write", interrupted)
    ground.anonymous("predict", ground.scans, "-o", "out.csv", code=130)
    assert list((ground.work / ".out.csv.parts").iterdir())
    ground.check()


def test_explain(ground: Ground) -> None:
    one = next(path for path in sorted(ground.home.iterdir()) if path.name.endswith(" 0.dcm"))
    ground.anonymous("explain", one)
    ground.anonymous("explain", one, "--json")
    ground.anonymous("explain", ground.scans)
    ground.anonymous("explain", ground.scans, "--json")
    assert [path for path in ground.work.iterdir() if path.name.startswith("file-")]
    ground.check()


def test_preprocess_train_evaluate_and_push(ground: Ground) -> None:
    ground.anonymous(
        "preprocess", ground.scans, "--labels", ground.labels, "-o", "prepared", "--size", "32",
        "--workers", "1",
    )  # fmt: skip
    ground.ich(
        "train", "prepared", "-m", "test_resnet", "--init", "none", "--epochs", "1", "--folds",
        "2", "--batch-size", "4", "--refit", "-o", "run", "--device", "cpu",
    )  # fmt: skip
    ground.ich("evaluate", "--data", "prepared", "-w", "run/bundle", "--bootstrap", "10")
    ground.anonymous("predict", ground.scans, "-o", "out.csv")
    ground.ich(
        "evaluate", "--predictions", "out.csv", "--labels", ground.labels, "--bootstrap", "10"
    )
    ground.ich("push", "run", "owner/name", "--dry-run")
    ground.ich("push", "run", "owner/name", "--dry-run", "--json")
    ground.check()


@pytest.mark.parametrize("column", ["any", "subdural"])
def test_a_table_that_does_not_parse_is_not_quoted(column: str, ground: Ground) -> None:
    lines = ground.labels.read_text().splitlines()
    header = lines[0].split(",")
    cells = lines[1].split(",")
    cells[header.index(column)] = cells[1]  # the patient
    mixed = [lines[0], ",".join(cells), lines[1], ",".join([*cells[:2], "1", *cells[3:]])]
    (ground.temporary.parent / "mixed.csv").write_text("\n".join(mixed))

    for command in (
        ["preprocess", ground.scans, "--labels", ground.temporary.parent / "mixed.csv"],
        ["evaluate", "--predictions", ground.temporary.parent / "mixed.csv", "-l", ground.labels],
    ):
        done = CliRunner().invoke(app, list(map(str, command)))
        ground.output.append((str(command[0]), done.stderr + done.stdout))
    assert any("line 2" in text for _, text in ground.output)
    ground.output.append(("nothing more", ""))
    ground.check()


ASK = """
import json, sys
from gradio_client import Client, handle_file
address, folder, *files = sys.argv[1:]
client = Client(address, verbose=False, download_files=folder)
sent = [handle_file(file) for file in files]
print(json.dumps([client.predict(sent, api_name="/predict"),
                  client.predict(sent, label="subdural", api_name="/explain")]))
"""


def test_serve(ground: Ground) -> None:
    files = [path for path in sorted(ground.home.iterdir()) if path.is_file()]
    with serving(ground.temporary, "-w", str(ground.bundle)) as served:
        client = subprocess.run(
            [sys.executable, "-c", ASK, served.address, str(ground.work), *map(str, files)],
            capture_output=True, text=True, check=False,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )  # fmt: skip
        assert client.returncode == 0, client.stderr
        served.process.send_signal(signal.SIGINT)
        out, err = served.process.communicate(timeout=60)
    ground.output += [("responses of serve", client.stdout), ("stdout of serve", out)]
    ground.output += [("stderr of serve", err)]
    ground.check()


class TestAnonymousPaths:
    def test_they_are_the_keyed_hash_that_openssl_makes(self, ground: Ground) -> None:
        (ground.work / "key").write_text("0123456789abcdef0123456789abcdef\n")
        done = ground.anonymous("predict", ground.scans / "none", code=1)

        import hashlib
        import hmac

        path = str(ground.scans / "none").encode()
        made = hmac.new(b"0123456789abcdef0123456789abcdef", path, hashlib.sha256).hexdigest()
        assert done.stderr.startswith(f"ich: file-{made[:16]}: No such file")

    def test_two_runs_agree_and_two_keys_do_not(self, ground: Ground) -> None:
        outputs = [ground.anonymous("predict", ground.scans, "--json").stdout for _ in range(2)]
        assert outputs[0] == outputs[1]
        assert (ground.work / "key").stat().st_mode & 0o777 == 0o600
        (ground.work / "key").unlink()
        assert ground.anonymous("predict", ground.scans, "--json").stdout != outputs[0]

    def test_they_change_nothing_but_names(self, ground: Ground) -> None:
        plain = ground.ich("predict", ground.scans, "--json").stdout.splitlines()
        hidden = ground.anonymous("predict", ground.scans, "--json").stdout.splitlines()
        rows = list(zip(map(json.loads, plain), map(json.loads, hidden), strict=True))

        names = {f"a copy of {one['path']}": f"a copy of {other['path']}" for one, other in rows}
        for one, other in rows:
            note = names.get(one["note"], one["note"])
            assert {**one, "path": "", "note": note} == {**other, "path": ""}

    def test_a_file_without_a_key_is_refused(self, ground: Ground) -> None:
        (ground.work / "key").write_text("short")
        assert "contains no key" in ground.anonymous("predict", ground.scans, code=2).stderr
