"""``ich explain`` as its users see it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from ich_cli.commands.explain.run import default_name, numbered
from ich_cli.core.labels import LABELS
from ich_cli.core.phantom import write_studies
from ich_cli.core.predict import Predictor
from ich_cli.core.series import scanning as series
from ich_cli.main import app
from tests.support.dicom import ct, enhanced, save

Explain = Callable[..., Result]


@pytest.fixture
def explain(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Explain:
    monkeypatch.setenv("ICH_WEIGHTS", str(tiny_bundle))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, ["explain", *map(str, arguments)], prog_name="ich")

    return run


def stored(seed: int) -> np.ndarray:
    image = np.full((64, 64), 24)
    image[8:56, 8:56] = 1024 + np.random.default_rng(seed).integers(0, 90, (48, 48))
    return image


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for n in range(5):
        save(tmp_path / "scans" / f"{n}.dcm", ct(stored(n), position=(0, 0, n), instance=n))
    return tmp_path / "scans"


@pytest.mark.parametrize(
    ("path", "frame", "name"),
    [
        ("scan.dcm", None, "scan.explain.png"),
        ("/media/cd/IM00001", None, "IM00001.explain.png"),
        ("1.2.840.113619.2", None, "1.2.840.113619.2.explain.png"),
        ("a.zip!folder/x.IMA", None, "x.explain.png"),
        ("C:\\scans\\x.dcm", 7, "x.frame7.explain.png"),
        (".dcm", None, "slice.explain.png"),
    ],
)
def test_name_of_the_picture(path: str, frame: int | None, name: str) -> None:
    assert default_name(path, frame) == name


def test_one_file_becomes_one_picture_in_the_current_folder(explain: Explain, scans: Path) -> None:
    done = explain(scans / "2.dcm")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "2.explain.png\n"
    with Image.open("2.explain.png") as image:
        assert image.format == "PNG"
    assert "never saw a real CT" in done.stderr
    assert "Research use only" in done.stderr


def test_a_series_becomes_a_page_with_its_worst_slices(
    explain: Explain, scans: Path, tiny_bundle: Path
) -> None:
    rows = Predictor.load(tiny_bundle, device="cpu").predict(scans)
    worst = max(rows, key=lambda row: row.probabilities[0] if row.probabilities else -1)
    (scans / "junk.dcm").write_text("no DICOM")
    done = explain(scans, "--json")
    found = json.loads(done.stdout)
    assert found["picture"] == "series.explain.png"
    with Image.open("series.explain.png") as image:
        assert image.height > image.width
    assert found["path"] == worst.id.path
    assert found["probabilities"]["any"] == round(worst.probabilities[0], 6)  # type: ignore[index]
    assert tuple(found["positive"]) == worst.positive
    assert [one["instance"] for one in found["slices"]] == [0, 1, 2, 3, 4]
    numbers = [one["slice"] for one in found["worst"]]
    assert len(numbers) == 3
    assert abs(numbers[0] - numbers[1]) > 1
    for one in found["worst"]:
        assert one["labels"] == ["any"]
        output = one["faithfulness"].get("any")
        assert output is None or output["before"] == one["probabilities"]["any"]


def test_each_series_has_its_page_the_most_urgent_first(explain: Explain, tmp_path: Path) -> None:
    for series_number in (1, 2):
        for n in range(2):
            folder = tmp_path / "study" / str(series_number)
            data = ct(stored(10 * series_number + n), position=(0, 0, n), instance=n)
            data.SeriesInstanceUID = f"1.2.{series_number}"
            save(folder / f"{n}.dcm", data)
    done = explain("study", "-o", "page.png", "--json")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["picture"], second["picture"]) == ("page.png", "page-2.png")
    assert Path("page.png").is_file()
    assert Path("page-2.png").is_file()
    assert {first["series_uid"], second["series_uid"]} == {"1.2.1", "1.2.2"}
    assert first["probabilities"]["any"] >= second["probabilities"]["any"]


def test_names_of_the_pages() -> None:
    assert numbered(Path("a/out.png"), 1) == Path("a/out.png")
    assert numbered(Path("a/out.png"), 3) == Path("a/out-3.png")
    assert numbered(Path("series.explain.png"), 2) == Path("series-2.explain.png")


def test_faithfulness_is_printed_with_the_picture(explain: Explain, scans: Path) -> None:
    done = explain(scans / "2.dcm", "--all-labels")
    output = [line for line in done.stderr.splitlines() if "random tenth" in line]
    empty = [line for line in done.stderr.splitlines() if "the map is empty" in line]
    assert output
    assert len(output) + len(empty) == 6
    found = json.loads(explain(scans / "2.dcm", "--all-labels", "--json").stdout)
    assert len(found["faithfulness"]) == len(output)
    one = next(iter(found["faithfulness"].values()))
    assert set(one) == {"before", "without_hottest", "without_random", "drop", "drop_random"}
    again = json.loads(explain(scans / "2.dcm", "--all-labels", "--json").stdout)
    assert again["faithfulness"] == found["faithfulness"]


def test_render_options_change_the_picture_only(explain: Explain, scans: Path) -> None:
    plain = json.loads(explain(scans / "2.dcm", "-l", "any", "--json", "-o", "a.png").stdout)
    other = json.loads(
        explain(
            scans / "2.dcm", "-l", "any", "--json", "-o", "b.png", "--style", "contour",
            "--display-window", "bone", "--display-window", "subdural", "--opacity", "1",
        ).stdout
    )  # fmt: skip
    assert {**other, "picture": ""} == {**plain, "picture": ""}
    with Image.open("a.png") as one, Image.open("b.png") as two:
        assert two.width > one.width  # a window more


@pytest.mark.slow
def test_methods_are_measured_on_phantoms(explain: Explain, tmp_path: Path) -> None:
    write_studies(tmp_path / "p", 1, 3, ("subdural",), size=96, slices=(8, 8), thickness=(8, 8))
    done = explain("--data", "p", "--method", "gradcam", "-o", "t.csv")
    assert done.exit_code == 0, done.stderr
    assert "maps of any" in done.stdout
    assert "phantoms, masks exact" in done.stdout
    assert "Research use only" in done.stdout
    found = json.loads(explain("--data", "p", "--method", "gradcam", "--json").stdout)
    assert {row["method"] for row in found["rows"]} == {"gradcam", "centre"}
    assert {row["label"] for row in found["rows"]} == {"any", "subtypes", "subdural"}
    assert found["slices"] > 0
    with Path("t.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(found["rows"])


def test_zip_and_single_file_say_the_same(explain: Explain, scans: Path, tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(scans / "3.dcm", "folder/three.dcm")
    zipped = json.loads(explain("a.zip", "--json").stdout)
    plain = json.loads(explain(scans / "3.dcm", "--json").stdout)
    assert zipped["probabilities"] == plain["probabilities"]
    assert zipped["picture"] == "three.explain.png"


def test_requested_labels(explain: Explain, scans: Path) -> None:
    one = explain(scans / "0.dcm", "-l", "subdural", "--json", "-o", "one.png")
    found = json.loads(one.stdout)
    assert found["labels"] == ["subdural"]
    assert found["reason"].endswith("(requested)")
    every = json.loads(explain(scans / "0.dcm", "--all-labels", "--json", "-o", "all.png").stdout)
    assert every["labels"] == list(LABELS)
    with Image.open("one.png") as small, Image.open("all.png") as large:
        assert large.width > small.width
        assert large.height > small.height


def test_without_a_positive_label_the_most_likely_is_shown(
    explain: Explain, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Predictor.load

    def strict(*args: object, **kwargs: object) -> Predictor:
        predictor = load(*args, **kwargs)  # type: ignore[arg-type]
        predictor.thresholds = dict.fromkeys(LABELS, 1.0)
        return predictor

    monkeypatch.setattr(Predictor, "load", strict)
    found = json.loads(explain(scans / "0.dcm", "--json").stdout)
    likeliest = max(found["probabilities"], key=found["probabilities"].get)
    assert found["labels"] == [likeliest]
    assert found["positive"] == []
    assert "none reaches its threshold: the most likely one" in found["reason"]


def test_frame_of_a_multi_frame_file(explain: Explain, tmp_path: Path) -> None:
    frames = np.stack([stored(n) for n in range(3)])
    path = save(tmp_path / "multi", enhanced(frames, [(0, 0, n) for n in range(3)]))
    found = json.loads(explain(path, "--frame", "2", "--json").stdout)
    assert found["frame"] == 2
    assert found["picture"] == "multi.frame2.explain.png"
    refused = explain(path, "--frame", "9")
    assert refused.exit_code == 2
    assert refused.stderr == "ich: --frame 9: there is no such frame\n"


@pytest.mark.parametrize(
    ("arguments", "code", "output"),
    [
        (["text.dcm"], 1, "text.dcm: "),
        (["nowhere.dcm"], 1, "nowhere.dcm"),
        (["scans/0.dcm", "-l", "sub"], 2, "--label sub: a label is one of any, epidural"),
        (["scans/0.dcm", "-l", "any", "--all-labels"], 2, "give one of the two"),
        (["scans/0.dcm", "--method", "magic"], 2, "unknown method 'magic'"),
        (["scans/0.dcm", "--style", "fog"], 2, "--style fog: a style is one of heat, contour"),
        (
            ["scans/0.dcm", "--display-window", "lung"],
            2,
            "--display-window lung: a window is one of brain",
        ),
        ([], 2, "give PATHS to explain, or --data FOLDER"),
        (["scans/0.dcm", "--data", "scans"], 2, "give PATHS to explain, or --data FOLDER"),
        (["scans/0.dcm", "--out-of-fold", "run"], 2, "--out-of-fold needs --data"),
        (["--data", "scans", "-l", "any"], 2, "--data scores all labels;"),
        (["--data", "scans"], 1, "scans: no lesion masks; give a folder"),
        (["--data", "scans", "--out-of-fold", "scans"], 1, "scans: no finished fold"),
        (["scans/0.dcm", "-o", "no/such/x.png"], 1, "its folder does not exist"),
        (["scans/0.dcm", "-w", "no-bundle"], 1, "no-bundle: neither a folder nor owner/name"),
    ],
)
def test_what_is_wrong_takes_one_line(
    explain: Explain, scans: Path, arguments: list[str], code: int, output: str
) -> None:
    Path("text.dcm").write_text("not DICOM")
    done = explain(*arguments)
    assert done.exit_code == code
    lines = [line for line in done.stderr.splitlines() if "real CT" not in line]
    assert len(lines) == 1
    assert output in lines[0]
    assert done.stdout == ""


@pytest.mark.parametrize("what", ["scans", "scans/0.dcm"])
def test_no_identifier_in_picture_or_output(explain: Explain, scans: Path, what: str) -> None:
    done = explain(what, "--json", "-o", "out.png")
    everything = done.stdout.encode() + done.stderr.encode() + Path("out.png").read_bytes()
    assert b"PLANTED" not in everything
    assert b"PLANTED" in (scans / "0.dcm").read_bytes()


@pytest.mark.parametrize("what", ["one", "one/0.dcm"])
def test_names_burned_into_the_pixels_are_warned_of(
    explain: Explain, what: str, tmp_path: Path
) -> None:
    for n, said in enumerate(("YES", "NO")):
        image = ct(stored(n), position=(0, 0, n), instance=n, BurnedInAnnotation=said)
        save(tmp_path / "one" / f"{n}.dcm", image)
    output = "patient data may be burned into the pixels; check the picture before you share it"
    assert output in explain(what, "-q").stderr
    assert output not in explain("one/1.dcm", "-q").stderr


def test_quiet_leaves_the_result_and_the_caveat(explain: Explain, scans: Path) -> None:
    done = explain(scans / "0.dcm", "-q")
    assert done.stdout == "0.explain.png\n"
    assert len(done.stderr.splitlines()) == 1
    assert "never saw a real CT" in done.stderr


def test_real_head_ct(explain: Explain, shared_data: Path) -> None:
    found = json.loads(explain(shared_data / "dicom" / "ge-head", "--json").stdout)
    assert "gantry tilt 18.5" in found["note"]
    assert len(series.scan([found["path"]])) == 1


def test_maps_of_a_series_are_written_as_nifti(explain: Explain, scans: Path) -> None:
    done = explain(scans, "--nifti", "maps", "-l", "any", "-l", "subdural")
    assert done.exit_code == 0, done.stderr
    volumes = sorted(Path("maps").iterdir())
    assert [one.name.split(".", 1)[1] for one in volumes] == ["any.nii.gz", "subdural.nii.gz"]
    assert {str(one) for one in volumes} < set(done.stdout.split())
    found = json.loads(explain(scans, "--nifti", "maps", "-l", "any", "--json").stdout)
    assert found["nifti"] == [str(volumes[0])]
    both = explain(scans, "--nifti", "maps", "--frame", "1")
    assert "--nifti writes whole series; leave out --frame and --data" in both.stderr
