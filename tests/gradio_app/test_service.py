"""Tests of the service and its view states."""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import nibabel
import numpy as np
import pytest

from gradio_app.downloads import ExportRequest, card_html, export
from gradio_app.job_queue import Job
from gradio_app.open_study import OpenStudy
from gradio_app.service import EXAMPLE_SUBTYPES, Service, Settings
from gradio_app.view_state import describe, verdict
from ich_cli.core.errors import IchError
from ich_cli.core.labels import LABELS
from ich_cli.core.phantom import write_studies
from ich_cli.core.predict import Predictor
from ich_cli.core.study import SeriesPrediction, StudyPrediction, StudyRule
from ich_cli.core.study.quality_gate import Reason
from tests.support.dicom import series
from tests.support.serving import PATIENT, named_study


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> Predictor:
    return Predictor.load(tiny_bundle, device="cpu", batch_size=2)


@pytest.fixture(scope="module")
def other(other_bundle: Path) -> Predictor:
    return Predictor.load(other_bundle, device="cpu")


@pytest.fixture
def service(predictor: Predictor, other: Predictor, tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "uploads").mkdir()
    both = {"tiny": predictor, "other": other}
    made = Service(both, tmp_path / "studies", tmp_path / "uploads", Settings(16, 50, 1, 2))
    yield made
    made.close()


def opened(service: Service, paths: list[Path], owner: str = "me") -> OpenStudy:
    uploads = service.sessions._uploads
    given = []
    for number, path in enumerate(paths):
        (uploads / f"hash-{number}").mkdir(exist_ok=True)
        given.append(uploads / f"hash-{number}" / f"page-{number}")
        given[-1].write_bytes(path.read_bytes())
    return service.sessions.open(owner, list(map(str, given)))


def states(service: Service, study: OpenStudy, bundle: str = "") -> list[dict[str, Any]]:
    async def follow() -> list[dict[str, Any]]:
        return [state async for state in service.follow(study, bundle)]

    return asyncio.run(follow())


@pytest.fixture
def upload(tmp_path: Path) -> list[Path]:
    """Four slices with a patient's name in header and file name, then a text file."""
    paths = named_study(tmp_path / "upload")
    notes = tmp_path / f"{PATIENT}.txt"
    notes.write_text("no image", "utf-8")
    return [*paths, notes]


def test_study_is_predicted_and_refused_files_have_numbers(
    service: Service, upload: list[Path]
) -> None:
    last = states(service, opened(service, upload))[-1]

    assert last["phase"] == "done"
    assert (last["done"], last["total"], last["bundle"]) == (5, 5, "tiny")
    (series,) = last["series"]
    assert [one[0] for one in series["slices"]] == [0, 1, 2, 3]
    assert all(len(one[1]) == len(LABELS) for one in series["slices"])
    assert [(one["file"], one["count"]) for one in last["refused"]] == [(5, 1)]
    assert "not DICOM" in last["refused"][0]["reason"]
    highest = last["studies"][0]["highest"]
    assert highest == [max(one[1][k] for one in series["slices"]) for k in range(len(LABELS))]


def test_no_output_names_the_patient(service: Service, upload: list[Path]) -> None:
    study = opened(service, upload)
    view = [json.dumps(states(service, study)[-1])]
    name, predictor = service.predictor("")
    view.append(study.faithfulness(name, predictor, (0, 0), "any"))
    view += [
        json.dumps(export(k, ExportRequest(study, name, predictor, (0, 0), "any")))
        for k in ("csv", "html")
    ]

    assert not any("Planted" in text for text in view)


def test_zip_counts_as_one_file(service: Service, upload: list[Path], tmp_path: Path) -> None:
    packed = tmp_path / "study"  # content decides, not the name's ending
    with zipfile.ZipFile(packed, "w") as archive:
        for path in upload:
            archive.write(path, path.name)

    last = states(service, opened(service, [upload[-1], packed]))[-1]

    assert len(last["series"][0]["slices"]) == 4
    assert [one["file"] for one in last["refused"]] == [1, 2]
    assert "Planted" not in json.dumps(last)


def test_second_bundle_predicts_the_same_files_again(service: Service, upload: list[Path]) -> None:
    study = opened(service, upload)
    first, second = states(service, study)[-1], states(service, study, "other")[-1]

    assert (first["bundle"], second["bundle"]) == ("tiny", "other")
    assert first["series"][0]["slices"] != second["series"][0]["slices"]
    assert states(service, study)[-1] == first


def test_unknown_bundle_is_refused(service: Service) -> None:
    with pytest.raises(IchError, match="there is no such bundle; there are tiny, other"):
        service.predictor("third")


def test_too_many_slices_are_refused(service: Service, tmp_path: Path) -> None:
    write_studies(tmp_path / "made", 2, seed=1, size=64, slices=(26, 26))
    paths = sorted((tmp_path / "made").glob("study-*/*.dcm"))

    last = states(service, opened(service, paths))[-1]

    assert last["phase"] == "failed"
    assert last["message"] == "52 slices; this page takes at most 50 at once"


def test_full_queue_refuses_without_affecting_running_studies(
    service: Service, upload: list[Path]
) -> None:
    begun, go = Event(), Event()
    blocker = service._queue.submit(lambda _: (begun.set(), go.wait(20)))
    begun.wait(20)
    waiting = [service._queue.submit(lambda _: None) for _ in range(2)]
    study = opened(service, upload)

    assert states(service, study) == [
        {"phase": "failed", "message": "busy: 2 studies are waiting already; try again in a minute"}
    ]
    go.set()
    for job in (blocker, *waiting):
        asyncio.run(job.wait())
    assert states(service, study)[-1]["phase"] == "done"


def test_cancelled_study_keeps_its_predictions_and_continues(
    service: Service, upload: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = opened(service, upload)
    check = type(study).predict

    def after_two(self: OpenStudy, name: str, predictor: Predictor, job: Any, view: Any) -> None:
        def tell() -> None:
            view()
            if len(self.rows(name)) == 3:  # two slices and the file of no series
                job.cancel()

        check(self, name, predictor, job, tell)

    with monkeypatch.context() as patch:
        patch.setattr(OpenStudy, "predict", after_two)
        cancelled = states(service, study)[-1]
    rows = study.rows("tiny")
    whole = states(service, study)[-1]

    assert (cancelled["phase"], cancelled["done"]) == ("cancelled", 3)
    assert (whole["phase"], whole["done"]) == ("done", 5)
    assert study.rows("tiny")[:2] == rows[:2]


def test_two_patients_with_the_same_uids_are_two_studies(service: Service, tmp_path: Path) -> None:
    paths = [*series(tmp_path / "a", [0, 5], PatientID="A"),
             *series(tmp_path / "b", [0, 5, 10], PatientID="B")]  # fmt: skip

    last = states(service, opened(service, paths))[-1]

    assert [(one["study"], len(one["slices"])) for one in last["series"]] == [(0, 2), (1, 3)]
    assert len(last["studies"]) == 2
    numbers = [[one[0], one[3]] for found in last["series"] for one in found["slices"]]
    assert numbers == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]]  # indices, then files


def test_note_names_the_used_series_by_its_number(service: Service, tmp_path: Path) -> None:
    heights = [5.0 * k for k in range(8)]
    soft = series(tmp_path / "a", heights, SeriesInstanceUID="1.2.3.5")
    bone = series(tmp_path / "b", heights, SeriesInstanceUID="1.2.3.6", ConvolutionKernel="BONE")

    (study,) = states(service, opened(service, [*bone, *soft]))[-1]["studies"]

    assert study["note"] == "answered from series 2: 5.0 mm; 1 other series not used"
    assert study["note"] not in study["notes"]
    assert study["quality"] == [
        "not a head: no slice shows brain inside a closed skull", "only 8 slices",
    ]  # fmt: skip


def test_nifti_upload_is_predicted(service: Service, tmp_path: Path) -> None:
    voxels = np.full((32, 28, 3), -1000, np.int16)
    voxels[4:28, 4:24] = 30
    path = tmp_path / "head.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-2.0, -2.0, 5.0, 1.0])), path)

    last = states(service, opened(service, [path]))[-1]

    assert (last["phase"], last["refused"]) == ("done", [])
    assert [len(one[1]) for one in last["series"][0]["slices"]] == [len(LABELS)] * 3
    assert last["studies"][0]["verdict"] is not None


def test_example_is_generated_once_with_the_stated_subtypes(service: Service) -> None:
    async def follow() -> tuple[list[Any], list[Any]]:
        first = [state async for state in service.example()]
        return first, [state async for state in service.example()]

    first, second = asyncio.run(follow())

    assert first[-1]["phase"] == "done"
    assert first[-1]["example"] is True
    assert second[-1] == first[-1]
    labels = next(service.sessions._root.glob("study-*/made/labels.csv")).read_text().splitlines()
    names, rows = labels[0].split(","), [line.split(",") for line in labels[1:]]
    found = [n for k, n in enumerate(names) if n in LABELS[1:] and any(r[k] == "1" for r in rows)]
    assert tuple(found) == EXAMPLE_SUBTYPES


def test_missing_slices_are_refused_with_a_message(service: Service, upload: list[Path]) -> None:
    study = opened(service, upload)
    states(service, study)

    with pytest.raises(IchError, match="there is no slice 9"):
        study.place(9)
    study.paths[1].unlink()
    with pytest.raises(IchError, match="this slice cannot be shown: cannot be read"):
        study.slice((0, 1))
    study.close()
    with pytest.raises(IchError, match="this study is no longer here; open it again"):
        study.slice((0, 0))


def test_maps_are_computed_once(
    service: Service, upload: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = opened(service, upload)
    states(service, study)
    name, predictor = service.predictor("")
    maps = study.maps(name, predictor, (0, 1))
    monkeypatch.setattr("gradio_app.open_study.explain", lambda *_, **__: pytest.fail("again"))

    assert study.maps(name, predictor, (0, 1)) is maps
    assert set(maps) == set(LABELS)
    assert maps["any"].shape == (64, 64)


def test_export_requires_a_finished_study(service: Service, upload: list[Path]) -> None:
    study = opened(service, upload)
    name, predictor = service.predictor("")

    with pytest.raises(IchError, match="the study is not finished yet"):
        export("csv", ExportRequest(study, name, predictor, (0, 0), "any"))
    with pytest.raises(IchError, match="unknown format: choose one of csv, png, html, dicom"):
        export("../x", ExportRequest(study, name, predictor, (0, 0), "any"))


def test_slice_without_prediction_has_no_probabilities(
    service: Service, upload: list[Path]
) -> None:
    study = opened(service, upload)
    states(service, study)
    name, predictor = service.predictor("")
    (whole,) = study.predictions(name)
    study.predictions(name)[0] = SeriesPrediction(whole.series, whole.slices[:1], partial=True)

    view = describe(study, name, predictor, "predicting")

    assert [one[1] is None for one in view["series"][0]["slices"]] == [False, True, True, True]
    assert view["studies"][0]["verdict"] is None


@pytest.mark.parametrize(
    ("word", "tone", "text"),
    [("positive", "alert", "Hemorrhage suspected."),
     ("unsure", "unsure", "Unsure: a radiologist must decide."),
     ("negative", "calm", "No hemorrhage suspected.")],
)  # fmt: skip
def test_verdict_is_a_sentence_with_an_explanation(word: Any, tone: str, text: str) -> None:
    six = (0.3, 0.1, 0.1, 0.1, 0.1, 0.1)
    one = StudyPrediction("1.2", six, (), None, 4, 0, word, ())
    view = verdict(one, [], StudyRule(rule_out=0.2, rule_in=0.6))

    assert (view["tone"], view["text"]) == (tone, text)
    assert "in the study 0.30 (negative below 0.20, positive from 0.60)" in view["more"]


def test_unsure_because_of_quality_is_explained() -> None:
    six = (0.1,) * 6
    reason = (Reason("motion", "motion"),)
    one = StudyPrediction("1.2", six, (), None, 4, 0, "unsure", reason)
    assert "Its quality is too low" in verdict(one, [], StudyRule())["more"]


def test_card_is_html_without_front_matter_or_scripts() -> None:
    found = card_html("---\nlicense: x\n---\n# Card\n<script>alert(1)</script>\n[a](javascript:x)")

    assert "<h1>Card</h1>" in found
    assert "license" not in found
    assert "<script" not in found
    assert "href" not in found


def test_preview_is_published_before_scan_and_prediction(
    service: Service, upload: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = opened(service, upload)
    events: list[str] = []
    scan, predict = OpenStudy.scan, OpenStudy.predict
    monkeypatch.setattr(OpenStudy, "scan", lambda *a: (events.append("scan"), scan(*a))[1])
    monkeypatch.setattr(OpenStudy, "predict", lambda *a: (events.append("predict"), predict(*a))[1])
    publish = Job.publish

    def recorded(job: Job, state: dict[str, Any]) -> None:
        events.append("picture" if state.get("preview") else str(state["phase"]))
        publish(job, state)

    monkeypatch.setattr(Job, "publish", recorded)

    last = states(service, study)[-1]

    assert events[:4] == ["picture", "scan", "predicting", "predict"]
    assert events[-1] == "done"
    assert last["first"] == 2  # the middle one of five files, which is on show already


def test_preview_of_a_zip_is_its_middle_slice(
    service: Service, upload: list[Path], tmp_path: Path
) -> None:
    packed = tmp_path / "study"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in upload[:4]:
            archive.write(path, path.name)
    study = opened(service, [packed])

    seen = study.preview()

    assert states(service, study)[-1]["first"] == 2
    assert seen is not None
    assert (seen.hu == study.slice((0, 2)).hu).all()


def test_without_ct_in_the_middle_file_there_is_no_preview(
    service: Service, upload: list[Path]
) -> None:
    study = opened(service, [upload[0], upload[-1], upload[1]])

    found = states(service, study)

    assert not any(state.get("preview") for state in found)
    assert (found[-1]["phase"], found[-1]["first"]) == ("done", None)
