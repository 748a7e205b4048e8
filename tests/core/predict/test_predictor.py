from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ich_cli.core.bundle import BundleConfig, Calibration, save_bundle, save_ensemble
from ich_cli.core.dicom import CTSlice, SliceId
from ich_cli.core.errors import BundleError, IchError
from ich_cli.core.labels import LABELS
from ich_cli.core.model import build_model, to_input
from ich_cli.core.predict import Predictor, reader as reading
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.series import SliceRef, scanning as series
from ich_cli.core.study import SeriesPrediction, SlicePrediction
from tests.support.dicom import PATIENT, ct, save

SERIES = 11


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> Predictor:
    return Predictor.load(tiny_bundle, device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven different slices of a series, with a text and a truncated file among them."""
    folder = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(0)
    for n in range(SERIES):
        stored = np.full((64, 64), 24)
        stored[8:56, 8:56] = 1024 + rng.integers(0, 90, (48, 48))
        save(folder / f"{n:02d}.dcm", ct(stored, position=(0, 0, 5 * n), instance=n + 1))
    (folder / "a.txt").write_text("not a picture")
    whole = (folder / "03.dcm").read_bytes()
    (folder / "broken.dcm").write_bytes(whole[:-100])
    return folder


def made(bundle: Path, seed: int, **config: object) -> Path:
    torch.manual_seed(seed)
    prep = PreprocessConfig(**config)  # type: ignore[arg-type]
    model = build_model("test_resnet", in_chans=prep.channels)
    torch.nn.init.normal_(model.get_classifier().weight, std=0.5)  # type: ignore[operator]
    save_bundle(bundle, model, BundleConfig("test_resnet", {"real_ct": True, "data": "x"}, prep))
    return bundle


def pixels(count: int, size: int = 64, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, channels, size, size), np.uint8)


def answered(rows: list[SlicePrediction]) -> list[SlicePrediction]:
    return [row for row in rows if row.probabilities]


def test_probabilities_are_those_of_the_model(predictor: Predictor) -> None:
    found = predictor.probabilities(pixels(3))
    assert found.dtype == np.float32
    assert found.shape == (3, 6)
    config = predictor.preprocess[0]
    x = to_input(torch.from_numpy(pixels(3)), config.mean, config.std)
    with torch.no_grad():
        expected = torch.sigmoid(predictor.bundle.models[0](x))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert predictor.probabilities(pixels(0)).shape == (0, 6)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_a_prediction_does_not_depend_on_the_batch(
    tiny_bundle: Path, predictor: Predictor, batch_size: int
) -> None:
    other = Predictor.load(tiny_bundle, device="cpu", batch_size=batch_size)
    whole = other.probabilities(pixels(8))
    assert np.array_equal(whole, predictor.probabilities(pixels(8)))
    assert np.array_equal(whole[5:6], predictor.probabilities(pixels(8)[5:6]))


def test_calibration_by_hand() -> None:
    logits = np.array([[2.0, 0, 0, 0, 1e6, -1e6]])
    found = Calibration((2, 1, 1, 1, 1, 1), (0, 0, np.log(3), 0, 0, 0)).apply(logits)
    # sigmoid(1) = 0.731059; sigmoid(ln 3) = 3/4
    np.testing.assert_allclose(found, [[0.7310586, 0.5, 0.75, 0.5, 1, 0]], atol=1e-6)


def test_wrong_shapes_are_refused(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match=r"\(N, 3, 64, 64\) expected"):
        predictor.probabilities(pixels(1, size=32))
    with pytest.raises(ValueError, match="zip"):
        predictor.probabilities(pixels(1), pixels(1))


def test_every_file_has_a_row_in_the_order_of_the_scan(predictor: Predictor, scans: Path) -> None:
    rows = predictor.predict(scans)
    names = [f"{n:02d}.dcm" for n in range(SERIES)] + ["broken.dcm", "a.txt"]
    assert [Path(row.id.path).name for row in rows] == names
    by_name = {Path(row.id.path).name: row for row in rows}
    assert by_name["a.txt"].status == "skipped"
    assert by_name["broken.dcm"].status == "failed"
    assert by_name["broken.dcm"].note
    assert len(answered(rows)) == SERIES
    assert len({row.probabilities for row in answered(rows)}) == SERIES
    assert PATIENT not in repr(rows)


@pytest.mark.parametrize("workers", [0, 1, 5])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_rows_do_not_depend_on_workers_and_batches(
    tiny_bundle: Path, predictor: Predictor, scans: Path, workers: int, batch_size: int
) -> None:
    (found,) = series.scan([scans]).series
    other = Predictor.load(tiny_bundle, device="cpu", batch_size=batch_size)
    assert other.predict_series(found, workers=workers) == predictor.predict_series(found)


def test_one_bad_file_affects_one_row(
    predictor: Predictor, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = series.load

    def moody(ref: SliceRef, **_: object) -> CTSlice:
        if ref.id.path.endswith("05.dcm"):
            raise RuntimeError(f"about {PATIENT}")
        return load(ref)

    monkeypatch.setattr(reading, "load", moody)
    rows = predictor.predict(scans)
    assert len(answered(rows)) == SERIES - 1
    (bad,) = [row for row in rows if row.id.path.endswith("05.dcm")]
    assert bad.status == "failed"
    assert bad.note == "unexpected RuntimeError while reading; please report it"


def test_interrupt_goes_through_and_ends_the_threads(
    predictor: Predictor, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "member_logits", stop)
    with pytest.raises(KeyboardInterrupt):
        next(predictor.predict_all(series.scan([scans]), workers=2))
    assert [one for one in threading.enumerate() if one.name.startswith("ich-read")] == []


def test_predict_series_is_predict_all_for_one_series(predictor: Predictor, scans: Path) -> None:
    (found,) = series.scan([scans]).series
    seen: list[SeriesPrediction] = []
    one = predictor.predict_series(found, workers=0, progress=seen.append)
    assert [one] == list(predictor.predict_all([found], workers=3))
    assert not one.partial
    assert len(one.slices) == len(found.slices) + len(found.refused)
    assert [row.id for row in one.slices[: len(found)]] == [ref.id for ref in found.slices]
    assert [(len(part.slices), part.partial) for part in seen] == [
        (4, True), (8, True), (len(one.slices), False)
    ]  # fmt: skip
    assert all(part.slices == one.slices[: len(part.slices)] for part in seen)


def test_progress_counts_over_all_series(predictor: Predictor, scans: Path) -> None:
    (found,) = series.scan([scans]).series
    done: list[int] = []
    assert len(list(predictor.predict_all([found, found], progress=done.append))) == 2
    assert done == sorted(done)
    assert done[-1] == 2 * len(found)


def test_cancel_ends_after_a_batch(predictor: Predictor, scans: Path) -> None:
    (found,) = series.scan([scans]).series
    whole = predictor.predict_series(found)
    part = predictor.predict_series(found, cancel=lambda: True)
    assert part.partial
    assert part.slices == whole.slices[: predictor.batch_size]
    calls = iter([False, False])
    assert not predictor.predict_series(found, cancel=lambda: next(calls, False)).partial


def test_a_cancelled_prediction_is_continued(
    predictor: Predictor, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = series.scan([scans]).series
    whole = predictor.predict_series(found)
    part = predictor.predict_series(found, cancel=lambda: True)
    counts: list[int] = []
    model = predictor.member_logits

    def counted(pixels: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        counts.append(len(pixels))
        return model(pixels)

    monkeypatch.setattr(predictor, "member_logits", counted)
    assert predictor.predict_series(found, start=part) == whole
    assert sum(counts) == SERIES - 4
    assert predictor.predict_series(found, start=whole) is whole


def test_context_takes_the_neighbours_of_the_series(scans: Path, tmp_path: Path) -> None:
    predictor = Predictor.load(made(tmp_path / "b", 3, size=64, context=1), device="cpu")
    (found,) = series.scan([scans]).series
    middle, around = predictor.read(found, 5)
    slices = [series.load(found.slices[index]) for index in (4, 5, 6)]
    before, after = around[1]
    assert before is not None
    assert after is not None
    assert np.array_equal(before.hu, slices[0].hu)
    assert np.array_equal(after.hu, slices[2].hu)
    (prepared,) = predictor.prepare(middle, around)
    expected = predictor.probabilities(prepared.pixels[None])[0]
    row = predictor.predict_series(found).slices[5]
    assert row.probabilities == tuple(float(p) for p in expected)
    alone = predictor.probabilities(predictor.prepare(middle)[0].pixels[None])[0]
    assert not np.array_equal(alone, expected)


def test_thresholds_decide_what_is_positive(predictor: Predictor, scans: Path) -> None:
    (found,) = series.scan([scans / "00.dcm"]).series
    (all_,) = predictor.predict_series(found, thresholds=dict.fromkeys(LABELS, 0.0)).slices
    assert all_.positive == LABELS
    (row,) = predictor.predict_series(found).slices
    assert row.probabilities
    exactly = {**dict.fromkeys(LABELS, 1.0), "subdural": row.probabilities[5]}
    (one,) = predictor.predict_series(found, thresholds=exactly).slices
    assert one.positive == ("subdural",)


def test_ensemble_is_the_mean_of_members_with_their_own_input(scans: Path, tmp_path: Path) -> None:
    folders = [
        made(tmp_path / "a", 1, size=64),
        made(tmp_path / "b", 2, size=96, context=1),
        made(tmp_path / "c", 3, size=64),
    ]
    training = {"real_ct": True, "data": "x"}
    save_ensemble(tmp_path / "all", folders, BundleConfig("ensemble", training))
    whole = Predictor.load(tmp_path / "all", device="cpu")
    assert [config.size for config in whole.preprocess] == [64, 96]
    rows = answered(whole.predict(scans))
    parts = [answered(Predictor.load(one, device="cpu").predict(scans)) for one in folders]
    expected = np.mean([[row.probabilities for row in part] for part in parts], axis=0)
    np.testing.assert_allclose([row.probabilities for row in rows], expected, atol=1e-6)


def test_caveat_only_where_no_real_ct_was_seen(predictor: Predictor, tmp_path: Path) -> None:
    assert "nothing: random numbers" in predictor.caveat
    assert Predictor.load(made(tmp_path / "b", 0, size=64), device="cpu").caveat == ""


def test_weights_come_from_the_environment(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICH_WEIGHTS", str(tiny_bundle))
    assert Predictor.load(device="cpu").bundle.path == tiny_bundle
    monkeypatch.setenv("ICH_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(BundleError, match="nowhere"):
        Predictor.load(device="cpu")


def test_a_batch_of_nothing_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(IchError, match="at least 1"):
        Predictor.load(tiny_bundle, device="cpu", batch_size=0)


def test_four_lines_of_python(tiny_bundle: Path, scans: Path) -> None:
    from ich_cli.core.predict import Predictor as Public

    for answer in Public.load(tiny_bundle).predict(scans / "00.dcm"):
        assert list(answer.by_label()) == list(LABELS)


def test_lossless_copies_of_a_slice_have_the_same_prediction(
    predictor: Predictor, shared_data: Path, tmp_path: Path
) -> None:
    files = sorted((shared_data / "dicom" / "transfer-syntaxes").iterdir())
    rows = [row for file in files for row in answered(predictor.predict(file))]
    counts: dict[object, int] = {}
    for row in rows:
        counts[row.probabilities] = counts.get(row.probabilities, 0) + 1
    assert max(counts.values()) >= 10


@pytest.mark.gpu
def test_gpu_agrees_with_cpu(tiny_bundle: Path, predictor: Predictor) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    gpu = Predictor.load(tiny_bundle, device="cuda", batch_size=5)
    found = gpu.probabilities(pixels(12))
    np.testing.assert_allclose(found, predictor.probabilities(pixels(12)), atol=0.02)


def test_slice_without_file(predictor: Predictor) -> None:
    slice_ = CTSlice(np.zeros((50, 40), np.float32), SliceId("made by a test"))
    assert predictor.prepare(slice_)[0].pixels.shape == (3, 64, 64)
