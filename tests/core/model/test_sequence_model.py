"""The second stage over a whole series: learned, bundled, predicted with."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ich_cli.core.bundle import (
    BundleConfig,
    Calibration,
    SequenceConfig,
    load_bundle,
    read_config_values,
    save_bundle,
    save_ensemble,
)
from ich_cli.core.errors import BundleError
from ich_cli.core.evaluate.metrics import auroc
from ich_cli.core.evaluate.run_bundle import predict_prepared
from ich_cli.core.explain import ExplainOptions, explain, explain_series, explain_slice
from ich_cli.core.model import SequenceModel, build_model, fit_sequence_model
from ich_cli.core.model.sequence_model import KINDS
from ich_cli.core.predict import Predictor
from ich_cli.core.predict.in_memory import SINGLE_SLICE
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.series import load, scan
from ich_cli.core.train import Plan, TrainConfig, collect_out_of_fold, refit, start_run, train_fold
from tests.support.prepared import blobs

pytestmark = pytest.mark.usefixtures("one_thread")


def smooth(near: float) -> SequenceModel:
    """A kernel of weights near, 1, near over three slices."""
    model = SequenceModel("smooth").eval()
    with torch.no_grad():
        model.taps.copy_(torch.log(torch.tensor([1.0, near, 1e-12])))
    return model


def test_the_kernel_by_hand() -> None:
    logits = np.zeros((4, 6))
    logits[1] = 8.0
    out = smooth(0.5).apply_to(logits)
    # inside (1/2, 1, 1/2) / 2: 8 → 2, 4, 2; the first slice has one neighbour: 4 / 1.5
    np.testing.assert_allclose(out[:, 0], [4 / 1.5, 4.0, 2.0, 0.0], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_neither_end_count(kind: str) -> None:
    torch.manual_seed(0)
    model = SequenceModel(kind).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(1, 5, 6)
    padded = torch.cat([x, torch.full((1, 3, 6), 99.0)], 1)
    with torch.no_grad():
        one, other = model(x, torch.tensor([5])), model(padded, torch.tensor([5]))
    torch.testing.assert_close(one, other[:, :5])
    logits = x[0].double().numpy()
    turned = model.apply_to(logits[::-1].copy())[::-1]
    np.testing.assert_allclose(model.apply_to(logits), turned, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_one_slice_keeps_its_logits(kind: str) -> None:
    logits = np.arange(6.0)[None]
    assert SequenceModel(kind).eval().apply_to(logits) is logits


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_that_bleeding_slices_are_neighbours(kind: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((80, 20, 6), np.float32)
    for one in labels[::2]:
        start = rng.integers(0, 14)
        one[start : start + 6] = 1
    logits = (2 * labels - 1 + rng.normal(0, 2, labels.shape)).astype(np.float32).reshape(-1, 6)
    rows = list(np.arange(1600).reshape(80, 20))
    stage = fit_sequence_model(logits, labels.reshape(-1, 6), rows[:40], kind)
    again = fit_sequence_model(logits, labels.reshape(-1, 6), rows[:40], kind)
    new = np.concatenate([stage.apply_to(logits[own].astype(float)) for own in rows[40:]])
    truth = labels[40:].reshape(-1, 6)[:, 0] > 0
    before, after = auroc(truth, logits[800:, 0]), auroc(truth, new[:, 0])
    assert after > before + 0.05
    for key, value in stage.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "staged"
    return _save(folder)


def _save(folder: Path) -> Path:
    torch.manual_seed(0)
    model = build_model("test_resnet")
    torch.nn.init.normal_(model.get_classifier().weight, std=0.5)
    config = BundleConfig(
        "test_resnet", {"real_ct": False, "data": "nothing"}, PreprocessConfig(size=64),
        sequence=SequenceConfig("smooth", Calibration((2.0,) * 6, (0.5,) * 6)),
    )  # fmt: skip
    save_bundle(folder, model, config, sequence=smooth(0.5))
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ich_cli.core.phantom import PhantomConfig, generate_phantom
    from ich_cli.core.phantom.write_dicom import to_datasets

    folder = tmp_path_factory.mktemp("study")
    phantom = generate_phantom(
        PhantomConfig(seed=3, size=64, subtypes=("subdural",), slices=(8, 9), thickness=(5.0, 5.0))
    )
    for index, dataset in enumerate(to_datasets(phantom)):
        dataset.save_as(folder / f"{index:03}.dcm", enforce_file_format=True)
    return folder


def test_a_series_is_predicted_as_a_whole(staged: Path, study: Path) -> None:
    predictor = Predictor.load(staged, device="cpu", batch_size=3)
    (found,) = scan([study]).series
    rows = predictor.predict_series(found, workers=0).slices
    pixels = np.stack([predictor.prepare(load(ref))[0].pixels for ref in found.slices])
    logits = smooth(0.5).apply_to(predictor.slice_logits(pixels))
    expected = Calibration((2.0,) * 6, (0.5,) * 6).apply(logits)
    np.testing.assert_allclose([row.probabilities for row in rows], expected, atol=1e-6)
    assert all(SINGLE_SLICE not in row.note for row in rows)


def test_a_cancelled_series_has_the_slice_models_answers_and_is_continued(
    staged: Path, study: Path
) -> None:
    predictor = Predictor.load(staged, device="cpu", batch_size=3)
    (found,) = scan([study]).series
    part = predictor.predict_series(found, workers=0, cancel=lambda: True)
    pixels = np.stack([predictor.prepare(load(ref))[0].pixels for ref in found.slices[:3]])
    expected = predictor.probabilities(pixels)
    assert part.partial
    np.testing.assert_array_equal([row.probabilities for row in part.slices], expected)
    whole = predictor.predict_series(found, workers=0)
    assert predictor.predict_series(found, start=part, workers=0) == whole
    assert whole.slices[0].probabilities != part.slices[0].probabilities


def test_the_stage_works_on_sections_of_5_mm(staged: Path) -> None:
    predictor = Predictor.load(staged, device="cpu")
    coarse = np.random.default_rng(0).normal(size=(6, 6))
    along = [5.0 * k for k in range(6)]
    fine = np.repeat(coarse, 2, axis=0)

    expected = predictor.sequence_probabilities(coarse)
    kept = predictor.sequence_probabilities(coarse, along)
    halves = predictor.sequence_probabilities(fine, [2.5 * k for k in range(12)])
    unknown = predictor.sequence_probabilities(fine, [None] * 12)

    assert kept.tolist() == expected.tolist()
    np.testing.assert_allclose(halves, np.repeat(expected, 2, axis=0), atol=1e-6)
    assert np.abs(unknown - halves).max() > 0.01


@pytest.fixture(scope="module")
def mean(staged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of two sizes with a stage over their mean."""
    place = tmp_path_factory.mktemp("ensemble")
    config = BundleConfig(
        "test_resnet", {"real_ct": False, "data": "nothing"}, PreprocessConfig(size=64),
        calibration=Calibration((0.3,) * 6, (1.0,) * 6),
    )  # fmt: skip
    for size in (64, 48):
        model = load_bundle(staged).models[0]
        own = replace(config, preprocess=PreprocessConfig(size=size))
        save_bundle(place / str(size), model, own)
    whole = replace(
        config, architecture="ensemble", calibration=Calibration((0.2,) * 6, (1.5,) * 6),
        sequence=SequenceConfig("smooth", Calibration((2.0,) * 6, (0.5,) * 6)),
    )  # fmt: skip
    save_ensemble(place / "both", [place / "64", place / "48"], whole, sequence=smooth(0.5))
    return place / "both"


def test_an_ensemble_smooths_its_members_mean(mean: Path, study: Path) -> None:
    predictor = Predictor.load(mean, device="cpu", batch_size=3)
    (found,) = scan([study]).series
    rows = predictor.predict_series(found, workers=0).slices
    each = []
    for engine, pixels in zip(
        predictor.engines, zip(*map(predictor.prepare, map(load, found.slices)), strict=True),
        strict=True,
    ):  # fmt: skip
        each.append(engine(np.stack([one.pixels for one in pixels])))
    logits = (each[0] + each[1]) / 2
    expected = Calibration((2.0,) * 6, (0.5,) * 6).apply(smooth(0.5).apply_to(logits))
    np.testing.assert_allclose([row.probabilities for row in rows], expected, atol=1e-6)
    single = replace(found, slices=found.slices[4:5])
    (row,) = predictor.predict_series(single, workers=0).slices
    assert row.note.endswith("predicted without the sequence stage")
    alone = Calibration((0.2,) * 6, (1.5,) * 6).apply(logits[4:5])[0]
    np.testing.assert_allclose(row.probabilities, alone, atol=1e-6)
    assert abs(alone[0] - expected[4, 0]) > 0.01
    explained = explain(predictor, load(found.slices[4]), ["any"])
    np.testing.assert_allclose(explained.probabilities, alone, atol=1e-6)


def test_an_ensemble_without_calibration_of_its_own_has_no_stage(mean: Path) -> None:
    values = read_config_values(mean)
    del values["ich"]["calibration"]
    with pytest.raises(BundleError, match=r"ich\.calibration is missing"):
        BundleConfig.from_json(values)
    del values["ich"]["sequence"]
    assert not BundleConfig.from_json(values).pools_logits


def test_a_series_picture_shows_the_probabilities_of_the_rows(mean: Path, study: Path) -> None:
    predictor = Predictor.load(mean, device="cpu", batch_size=3)
    (found,) = scan([study]).series
    prediction = predictor.predict_series(found, workers=0)
    rows = prediction.slices
    ((index, worst),) = explain_series(predictor, prediction, ExplainOptions(), count=1).worst
    assert worst.explanation.probabilities == rows[index].probabilities
    assert worst.explanation.positive == rows[index].positive
    alone = explain_slice(predictor, found, index, ExplainOptions()).explanation
    assert abs(alone.probabilities[0] - rows[index].probabilities[0]) > 1e-3


def test_an_ensembles_stage_is_checked(mean: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(mean, tmp_path / "both"))
    (folder / "sequence.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match=r"sequence\.safetensors"):
        load_bundle(folder)


def test_a_single_slice_is_predicted_by_the_slice_model_with_a_note(
    staged: Path, study: Path
) -> None:
    predictor = Predictor.load(staged, device="cpu")
    (found,) = scan([study]).series
    single = replace(found, slices=found.slices[4:5])
    (row,) = predictor.predict_series(single, workers=0).slices
    pixels = predictor.prepare(load(single.slices[0]))[0].pixels
    (expected,) = predictor.probabilities(pixels[None])
    np.testing.assert_allclose(row.probabilities, expected, atol=1e-6)
    assert row.note.endswith("predicted without the sequence stage")


def test_its_weights_are_checked(tmp_path: Path) -> None:
    folder = _save(tmp_path / "bundle")
    config = load_bundle(folder).config
    assert BundleConfig.from_json(
        {"label_names": list(config.label_names), "architecture": "test_resnet",
         "num_classes": 6, "ich": config.to_dict()}
    ).sequence == config.sequence  # fmt: skip
    with pytest.raises(BundleError, match="a member has a sequence stage"):
        save_ensemble(tmp_path / "e", [folder, folder], replace(config, sequence=None))
    path = folder / "sequence.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="checksum is not that"):
        load_bundle(folder)
    path.unlink()
    with pytest.raises(BundleError, match="no such file"):
        load_bundle(folder)


def test_a_run_learns_it_out_of_fold_and_bundles_it(tmp_path: Path) -> None:
    data = blobs(tmp_path / "blobs", 8)
    config = TrainConfig(
        model="test_resnet", init="none", epochs=1, batch_size=8, drop_rate=0.0, precision="no"
    )
    plan = Plan(config, (data,), tmp_path / "run", folds=2, device="cpu", sequence="smooth")
    start_run(plan)
    for fold in range(2):
        train_fold(plan, fold)
    found = collect_out_of_fold(plan)
    assert found is not None
    assert found.before_sequence is not None
    own = next(rows for rows in data.series_rows() if found.fold_of[rows[0]] == 0)
    others = [rows for rows in data.series_rows() if found.fold_of[rows[0]] == 1]
    stage = fit_sequence_model(
        found.before_sequence.logits, data.labels, others, "smooth", config.seed
    )
    expected = stage.apply_to(found.before_sequence.logits[own].astype(np.float64))
    np.testing.assert_allclose(found.logits[own], expected, rtol=1e-5)
    bundle = load_bundle(refit(plan, found))
    assert bundle.config.sequence is not None
    assert bundle.config.sequence.calibration == found.calibration
    assert bundle.config.calibration == found.before_sequence.calibration
    predictor = Predictor(bundle, "cpu")
    p = predict_prepared(predictor, data)
    logits = predictor.slice_logits(np.array(data.pixels[own]))
    np.testing.assert_allclose(p[own], predictor.sequence_probabilities(logits), atol=1e-6)
