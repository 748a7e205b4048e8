from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ich_cli.core.bundle import load_bundle
from ich_cli.core.data import PreparedDataset
from ich_cli.core.errors import DataError, IchError, OutputError, UsageError
from ich_cli.core.model import to_input
from ich_cli.core.train import (
    RECIPES,
    Callbacks,
    Plan,
    Selection,
    TrainConfig,
    TrainingRun,
    collect_out_of_fold,
    refit,
    start_run,
    train_fold,
)
from ich_cli.core.train.batches import predict_logits
from ich_cli.core.train.config import upgrade_settings
from ich_cli.core.train.dataset import SliceDataset
from ich_cli.core.train.fit import fit
from ich_cli.core.train.losses import label_loss, positive_weights
from ich_cli.core.train.monitoring import THROUGHPUT_KEYS
from ich_cli.core.train.setup import make_accelerator
from tests.support.prepared import blobs

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = TrainConfig(
    model="test_resnet", init="none", epochs=3, batch_size=8, lr=3e-3, ema=0.9, drop_rate=0.1,
    augmentation=0.5, precision="no",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return blobs(tmp_path_factory.mktemp("data") / "blobs", 16)


@pytest.fixture(scope="module")
def located(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return blobs(tmp_path_factory.mktemp("located") / "blobs", 16, size=64, located=True)


def everything(data: PreparedDataset, share: float = 1.0) -> Selection:
    return Selection(data, np.arange(len(data), dtype=np.int64), share)


def train(config: TrainConfig, data: PreparedDataset, folder: Path, **more: Any) -> Any:
    half = len(data) // 2
    rows = np.arange(len(data), dtype=np.int64)
    return fit(
        config, [Selection(data, rows[:half])], Selection(data, rows[half:]), data.preprocess,
        folder, device="cpu", **more,
    )  # fmt: skip


def changed(**values: Any) -> TrainConfig:
    return TrainConfig(**{**vars(TINY), **values})


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def untimed(run: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl without what the clock has measured."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [
        {k: v for k, v in json.loads(line).items() if k not in THROUGHPUT_KEYS} for line in lines
    ]


def test_it_learns_to_see_a_blob_in_patients_it_never_saw(
    data: PreparedDataset, tmp_path: Path
) -> None:
    result = train(changed(epochs=25), data, tmp_path)
    assert result.history[-1]["auc_any"] > 0.95
    assert result.history[-1]["auc_epidural"] > 0.95
    assert result.history[-1]["auc_subdural"] is None
    assert result.logits.shape == (48, 6)
    text = (tmp_path / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 26))


@pytest.mark.parametrize("after", [1, 2])
def test_a_killed_training_resumes_to_the_same_weights_bit_for_bit(
    data: PreparedDataset, tmp_path: Path, after: int
) -> None:
    whole = train(TINY, data, tmp_path / "whole")

    def dies(step: int, steps: int, loss: float) -> None:
        if step == after * steps // 3 + 2:  # in the middle of the next epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TINY, data, tmp_path / "out", callbacks=Callbacks(step=dies))
    seen: list[int] = []
    again = train(
        TINY, data, tmp_path / "out", resume=True,
        callbacks=Callbacks(epoch=lambda record: seen.append(record["epoch"])),
    )  # fmt: skip
    assert seen == list(range(after + 1, 4))  # it did go on, and did not start again
    for key, value in weights(whole.model).items():
        assert torch.equal(value, again.model.state_dict()[key]), key
    np.testing.assert_array_equal(whole.logits, again.logits)
    assert untimed(tmp_path / "whole") == untimed(tmp_path / "out")


@pytest.mark.parametrize(
    "values", [{"mask_weight": 1.0}, {"copy_paste": 0.5}, {"mask_weight": 1.0, "head": "patch"}]
)
def test_training_with_masks_resumes_bit_for_bit_and_keeps_the_architecture(
    located: PreparedDataset, tmp_path: Path, values: dict[str, Any]
) -> None:
    config = changed(**values, epochs=2)
    whole = train(config, located, tmp_path / "whole")
    plain = train(changed(head=config.head, epochs=2), located, tmp_path / "plain")
    assert weights(whole.model).keys() == weights(plain.model).keys()
    assert not np.allclose(whole.logits, plain.logits)

    def dies(step: int, steps: int, loss: float) -> None:
        if step == steps // 2 + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, located, tmp_path / "out", callbacks=Callbacks(step=dies))
    again = train(config, located, tmp_path / "out", resume=True)
    for key, value in weights(whole.model).items():
        assert torch.equal(value, again.model.state_dict()[key]), key


def test_the_mask_loss_moves_the_models_map_onto_the_hemorrhage(
    located: PreparedDataset, tmp_path: Path
) -> None:
    run = train(changed(mask_weight=3.0, epochs=25), located, tmp_path)
    rows = np.flatnonzero(located.labels[:, 0] == 1)
    model = run.model.eval()
    prep = located.preprocess
    x = to_input(torch.from_numpy(located.pixels[rows]), prep.mean, prep.std)
    with torch.no_grad():
        features = model.forward_features(x)
        weight = model.get_classifier().weight[0]
        cam = torch.einsum("nchw,c->nhw", features, weight)
    cells = torch.from_numpy(located.masks[rows] > 0).float()[:, None]
    blood = torch.nn.functional.adaptive_avg_pool2d(cells, cam.shape[-2:])[:, 0]
    hottest = cam.flatten(1).argmax(1)
    hits = blood.flatten(1).gather(1, hottest[:, None]) > 0
    assert cam[0].numel() > 1
    assert hits.float().mean() > 0.9


def test_patches_learn_the_position_of_hemorrhages(
    located: PreparedDataset, tmp_path: Path
) -> None:
    run = train(changed(head="patch", mask_weight=3.0, epochs=12), located, tmp_path)
    rows = np.flatnonzero(located.labels[:, 0] == 1)
    prep = located.preprocess
    x = to_input(torch.from_numpy(located.pixels[rows]), prep.mean, prep.std)
    with torch.no_grad():
        cells = run.model.patch_logits(run.model.forward_features(x))[:, 0]
    masks = torch.from_numpy(located.masks[rows] > 0).float()[:, None]
    blood = torch.nn.functional.adaptive_avg_pool2d(masks, cells.shape[-2:])[:, 0]
    hits = blood.flatten(1).gather(1, cells.flatten(1).argmax(1)[:, None]) > 0
    assert hits.float().mean() > 0.95
    assert run.history[-1]["auc_any"] > 0.95


def test_cells_start_from_the_backbone_of_a_bundle_without_them(
    located: PreparedDataset, tmp_path: Path
) -> None:
    first = plan(located, tmp_path / "run")
    start_run(first)
    folder = refit(first, None)
    notes: list[str] = []
    start = changed(head="patch", epochs=1, lr=1e-12, init=str(folder), ema=0.0, mask_weight=1.0)
    result = train(start, located, tmp_path / "next", callbacks=Callbacks(note=notes.append))
    assert notes == [f"started from the bundle {folder}: classifier dropped"]
    kept = load_bundle(folder).models[0].state_dict()
    for key, value in weights(result.model.backbone).items():
        if "running" not in key and "tracked" not in key:
            torch.testing.assert_close(value, kept[key], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("values", [{"mask_weight": 1.0}, {"copy_paste": 0.5}])
def test_the_mask_loss_needs_masks(
    data: PreparedDataset, tmp_path: Path, values: dict[str, float]
) -> None:
    with pytest.raises(DataError, match="no data set has lesion masks"):
        train(changed(**values), data, tmp_path)


def test_another_seed_gives_other_weights(data: PreparedDataset, tmp_path: Path) -> None:
    a = train(changed(epochs=1), data, tmp_path / "a")
    b = train(changed(epochs=1, seed=1), data, tmp_path / "b")
    assert not np.array_equal(a.logits, b.logits)


def test_resuming_with_other_settings_names_them(data: PreparedDataset, tmp_path: Path) -> None:
    train(changed(epochs=1), data, tmp_path)
    with pytest.raises(DataError, match=r"\(lr\)"):
        train(changed(epochs=1, lr=1e-3), data, tmp_path, resume=True)


def test_the_last_two_checkpoints_stay_and_none_of_it_is_a_pickle(
    data: PreparedDataset, tmp_path: Path
) -> None:
    train(TINY, data, tmp_path)
    files = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*s*") if p.is_file())
    files = [name for name in files if not name.startswith("tensorboard/")]
    assert files == [
        "checkpoints/step-00000012/state.json",
        "checkpoints/step-00000012/state.safetensors",
        "checkpoints/step-00000018/state.json",
        "checkpoints/step-00000018/state.safetensors",
        "metrics.jsonl",
    ]


def test_frozen_norms_keep_their_statistics(data: PreparedDataset, tmp_path: Path) -> None:
    frozen = train(changed(epochs=1, freeze_norms="yes"), data, tmp_path / "a")
    free = train(changed(epochs=1, freeze_norms="no"), data, tmp_path / "b")
    means = [k for k in frozen.model.state_dict() if k.endswith("running_mean")]
    assert means
    assert all(not frozen.model.state_dict()[k].any() for k in means)
    assert any(free.model.state_dict()[k].any() for k in means)


def test_without_an_average_the_last_weights_are_kept(
    data: PreparedDataset, tmp_path: Path
) -> None:
    result = train(changed(epochs=1, ema=0.0), data, tmp_path)
    from safetensors.torch import load_file

    saved = load_file(tmp_path / "checkpoints" / "step-00000006" / "state.safetensors")
    for key, value in weights(result.model).items():
        assert torch.equal(saved[f"model.{key}"], value), key


def test_bf16_trains_too(data: PreparedDataset, tmp_path: Path) -> None:
    result = train(changed(epochs=1, precision="bf16"), data, tmp_path)
    assert np.isfinite(result.logits).all()
    assert all(v.dtype != torch.bfloat16 for v in weights(result.model).values())


def test_fp16_without_a_gpu_is_refused(data: PreparedDataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fp16 needs a GPU; on a CPU use --precision bf16 or no"):
        train(changed(precision="fp16"), data, tmp_path)


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Give runs on a CPU what accelerate gives fp16 on a GPU: autocast and torch's own scaler."""
    made: list[Any] = []

    def accelerator(device: str, precision: str) -> Any:
        one = make_accelerator(device, "no")
        one.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=4)
        one.state._mixed_precision, one.native_amp = "fp16", True
        made.append(one)
        return one

    monkeypatch.setattr("ich_cli.core.train.trainer.make_accelerator", accelerator)
    return made


def test_a_run_with_scaled_losses_resumes_with_its_scale(
    data: PreparedDataset, tmp_path: Path, scaled: list[Any]
) -> None:
    config = changed(epochs=2, grad_clip=0.05)
    whole = train(config, data, tmp_path / "whole")
    grown = scaled[0].scaler.get_scale()
    assert grown == 2.0**15  # 12 steps, doubled after every fourth

    def dies(step: int, steps: int, loss: float) -> None:
        if step == steps // 2 + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, data, tmp_path / "out", callbacks=Callbacks(step=dies))
    again = train(config, data, tmp_path / "out", resume=True)
    assert scaled[-1].scaler.get_scale() == grown
    for key, value in weights(whole.model).items():
        assert torch.equal(value, again.model.state_dict()[key]), key


@pytest.mark.usefixtures("scaled")
def test_gradients_are_unscaled_before_they_are_clipped(data: PreparedDataset) -> None:
    run = started(changed(grad_clip=1e-4), data)
    norms: list[float] = []

    def spy(*_: Any) -> None:
        grads = [p.grad for p in run.network.parameters() if p.grad is not None]
        norms.append(float(torch.stack([g.norm() for g in grads]).norm()))

    run.optimizer.register_step_pre_hook(spy)
    run._step(run.slices.read(list(range(8))), 0)
    # the bound itself; clipped while still times 4096 it would be 2.4e-8
    assert norms == [pytest.approx(1e-4, rel=1e-3)]


def test_half_precision_with_scaled_losses_learns_as_float32_does(
    data: PreparedDataset, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    config = changed(epochs=1, lr=1e-4)
    plain = train(config, data, tmp_path / "plain")
    made = request.getfixturevalue("scaled")
    half = train(config, data, tmp_path / "half")
    assert made[0].mixed_precision == "fp16"
    assert half.history[0]["loss"] == pytest.approx(plain.history[0]["loss"], rel=2e-3)
    assert half.history[0]["loss"] != plain.history[0]["loss"]
    assert all(v.dtype != torch.float16 for v in weights(half.model).values())


def test_the_loss_weights_labels() -> None:
    logits = torch.zeros(2, 6)
    logits[:, 0] = torch.tensor([np.log(3.0), np.log(3.0)])  # probability 3/4
    labels = torch.zeros(2, 6)
    labels[:, 0] = 1
    # any: -ln(3/4) twice as heavy; five subtypes at 1/2: ln 2 each; weights sum to 7
    expected = (2 * np.log(4 / 3) + 5 * np.log(2)) / 7
    weights = torch.tensor([2.0, 1, 1, 1, 1, 1])
    assert float(label_loss(logits, labels, weights, torch.ones(6))) == pytest.approx(
        expected, rel=1e-6
    )


def test_the_rate_warms_up_and_falls_by_half_a_cosine(data: PreparedDataset) -> None:
    run = started(changed(epochs=10, lr=1e-3, warmup=0.2, batch_size=8), data)
    assert run.steps == 120  # 96 slices, 12 batches, 10 epochs: 24 steps of warm-up
    expected = {0: 1e-3 / 24, 11: 5e-4, 23: 1e-3, 24: 1e-3, 72: 5e-4, 96: 1e-3 * (1 - 0.5**0.5) / 2}
    for step, rate in expected.items():
        assert run.lr(step) == pytest.approx(rate, rel=1e-9), step
    assert run.lr(119) < 1e-6


def test_the_moving_average(data: PreparedDataset) -> None:
    run = started(changed(ema=0.9), data)
    name, kept = next(iter(run.ema.named_parameters()))
    start = kept.clone()
    with torch.no_grad():
        dict(run.network.named_parameters())[name].add_(1.0)
    run._update_average(0)  # the decay starts at (1 + 0) / (10 + 0)
    torch.testing.assert_close(kept, start + 0.9)
    run._update_average(1000)  # and ends at 0.9: a tenth of the remaining 0.1
    torch.testing.assert_close(kept, start + 0.91)


def started(config: TrainConfig, data: PreparedDataset) -> TrainingRun:
    return TrainingRun.start(config, [everything(data)], data.preprocess, "cpu", Callbacks())


def test_each_epoch_reports_throughput_and_loading_time(
    data: PreparedDataset, tmp_path: Path
) -> None:
    result = train(changed(epochs=1), data, tmp_path)
    (record,) = result.history
    assert record["slices_per_s"] > 0
    assert 0 <= record["loading_share"] < 1
    assert (
        json.loads((tmp_path / "metrics.jsonl").read_text())["loading_share"]
        == (record["loading_share"])
    )
    assert list((tmp_path / "tensorboard").iterdir())


def test_test_time_flips_are_blind_to_left_and_right(data: PreparedDataset, tmp_path: Path) -> None:
    model = train(changed(epochs=1), data, tmp_path).model
    first = predict_logits(model, everything(data), data.preprocess, flip=True)
    mirrored = PreparedDataset(
        data.folder, data.preprocess, np.ascontiguousarray(data.pixels[..., ::-1]), data.labels,
        data.patients, data.rows, data.about,
    )  # fmt: skip
    second = predict_logits(model, everything(mirrored), data.preprocess, flip=True)
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_weights_of_positives_by_hand() -> None:
    labels = np.zeros((100, 6), np.float32)
    labels[:20, 0], labels[:1, 1], labels[:80, 2] = 1, 1, 1
    full = positive_weights(labels, "full")
    np.testing.assert_allclose(full, [4, 30, 1, 1, 1, 1])  # 99 is cut at 30, 1/4 raised to 1
    np.testing.assert_allclose(positive_weights(labels, "sqrt")[:2], [2, np.sqrt(99)])
    np.testing.assert_allclose(positive_weights(labels, "none"), 1)


def test_an_epoch_sees_each_slice_once_and_half_of_the_other_data(data: PreparedDataset) -> None:
    slices = SliceDataset([everything(data), everything(data, 0.5)])
    n = len(data)
    seen = np.concatenate(slices.epoch(1, seed=0, epoch=0))
    assert sorted(seen[seen < n].tolist()) == list(range(n))
    assert len(set(seen[seen >= n].tolist())) == n // 2
    again = np.concatenate(slices.epoch(1, seed=0, epoch=0))
    other = np.concatenate(slices.epoch(1, seed=0, epoch=1))
    assert np.array_equal(seen, again)
    assert not np.array_equal(seen, other)
    pixels, labels = slices.__getitems__([n + 3, 3, 0])
    assert torch.equal(pixels[0], pixels[1])
    np.testing.assert_array_equal(labels[2], data.labels[0])


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 0}, {"lr": 0.0}, {"ema": 1.0}, {"label_weights": (1, 1)}, {"pos_weight": "big"},
        {"precision": "int8"},
        {"head": "crystal ball"}, {"warmup": 1.0}, {"label_weights": (0,) * 6},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        changed(**values)


def test_settings_survive_json() -> None:
    assert TrainConfig.from_dict(json.loads(json.dumps(TINY.to_dict()))) == TINY
    with pytest.raises(UsageError, match=r"the key training\.speed is unknown"):
        TrainConfig.from_dict({"speed": 3})


def test_settings_of_an_earlier_version_get_their_new_names() -> None:
    old = {"lr": 1e-3, "positives": 0.25, "transplants": 0.5, "head": "cells", "data": [1]}
    expected = TrainConfig(lr=1e-3, positive_fraction=0.25, copy_paste=0.5, head="patch")
    assert upgrade_settings(old) == {**expected.to_dict(), "data": [1]}


def plan(data: PreparedDataset, out: Path, *others: PreparedDataset, **more: Any) -> Plan:
    values = {"config": changed(epochs=2), "folds": 2, "device": "cpu", **more}
    return Plan(data=(data, *others), out=out, **values)


def test_folds_give_each_slice_one_prediction_and_a_calibrated_bundle(
    data: PreparedDataset, tmp_path: Path
) -> None:
    this = plan(data, tmp_path / "run", command="ich train blobs")
    start_run(this)
    train_fold(this, 0)
    assert collect_out_of_fold(this) is None
    train_fold(this, 1)
    found = collect_out_of_fold(this)
    assert found is not None
    assert np.isfinite(found.logits).all()
    folder = refit(this, found)
    bundle = load_bundle(folder)
    training = bundle.config.training
    assert training["real_ct"] is False
    assert training["data"] == "blobs, 96 slices of 16 patients"
    assert training["command"] == "ich train blobs"
    assert re.fullmatch(r"([0-9a-f]{40}(-dirty)?)?", training["git"])
    assert bundle.config.thresholds == pytest.approx(found.thresholds)
    assert bundle.config.study == found.study_rule
    assert bundle.config.calibration == found.calibration
    assert "out of fold, 2 folds by patient" in bundle.config.metrics["on"]
    called = np.asarray(found.probabilities)
    assert called.shape == (96, 6)
    rows = (tmp_path / "run" / "oof.csv").read_text().splitlines()
    assert len(rows) == 97
    assert rows[1].startswith("0,series-0/0,0,")


def test_each_fold_starts_from_the_same_fold_of_an_earlier_run(
    data: PreparedDataset, tmp_path: Path
) -> None:
    first = plan(data, tmp_path / "first")
    start_run(first)
    train_fold(first, 1)
    going_on = {"init": str(tmp_path / "first"), "epochs": 1, "lr": 1e-9}
    heard: list[str] = []
    second = replace(plan(data, tmp_path / "second"), config=changed(**going_on))
    start_run(second)
    train_fold(second, 1, Callbacks(note=heard.append))
    assert any("fold-1" in text for text in heard)
    theirs, ours = (
        load_bundle(tmp_path / run / "fold-1" / "bundle").models[0].state_dict()
        for run in ("first", "second")
    )
    # at this learning rate nothing moves but by rounding (bundles are stored in half precision)
    weight = "conv1.weight" if "conv1.weight" in theirs else next(iter(theirs))
    torch.testing.assert_close(ours[weight], theirs[weight], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("other", [{"folds": 3}, {"seed": 7}])
def test_a_run_with_other_folds_is_no_start(
    data: PreparedDataset, tmp_path: Path, other: dict[str, int]
) -> None:
    first = plan(data, tmp_path / "first")
    start_run(first)
    config = changed(init=str(tmp_path / "first"), seed=other.get("seed", TINY.seed))
    second = replace(plan(data, tmp_path / "second"), config=config, folds=other.get("folds", 2))
    start_run(second)
    with pytest.raises(UsageError, match="have seen patients"):
        train_fold(second, 0)


def test_the_same_slices_at_another_size_are_the_same_split(
    data: PreparedDataset, tmp_path: Path
) -> None:
    larger = blobs(tmp_path / "larger", 16, size=48)
    assert larger.sha256 != data.sha256
    own = plan(data, tmp_path / "run").split()
    assert plan(larger, tmp_path / "run").split() == own
    assert plan(blobs(tmp_path / "fewer", 14), tmp_path / "run").split() != own
    assert replace(plan(data, tmp_path / "run"), folds=3).split() != own


def test_a_run_resumes_only_as_itself(data: PreparedDataset, tmp_path: Path) -> None:
    this = plan(data, tmp_path / "run")
    start_run(this)
    done = train_fold(this, 0)
    stamp = done.stat().st_mtime_ns
    with pytest.raises(OutputError, match="contains a run"):
        start_run(this)
    again = plan(data, tmp_path / "run", resume=True)
    start_run(again)
    train_fold(again, 0)
    assert done.stat().st_mtime_ns == stamp  # what is done is not done again
    other = plan(data, tmp_path / "run", resume=True, folds=3)
    with pytest.raises(OutputError, match=r"other settings \(folds\)"):
        start_run(other)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "thesis.tex").touch()
    with pytest.raises(OutputError, match="is not empty"):
        start_run(plan(data, tmp_path / "else"))


def test_real_ct_among_the_training_data_is_recorded(data: PreparedDataset, tmp_path: Path) -> None:
    real = blobs(tmp_path / "real", 4, real_ct=True)
    this = plan(real, tmp_path / "run", data, sampling_weights=(1.0, 0.1))
    start_run(this)
    bundle = load_bundle(refit(this, None))
    assert bundle.config.training["real_ct"] is True
    assert bundle.config.training["shares"] == [1.0, 0.1]
    assert set(bundle.config.thresholds.values()) == {0.5}


def test_data_prepared_in_other_ways_does_not_mix(data: PreparedDataset, tmp_path: Path) -> None:
    other = blobs(tmp_path / "other", 2, size=48)
    with pytest.raises(DataError, match="differ in size: 32, 48"):
        plan(data, tmp_path / "run", other)


def test_training_starts_from_a_bundle_or_refuses_one_that_does_not_fit(
    data: PreparedDataset, tmp_path: Path
) -> None:
    this = plan(data, tmp_path / "run")
    start_run(this)
    folder = refit(this, None)
    start = changed(
        epochs=1, lr=1e-12, init=str(folder), ema=0.0, drop_rate=0.0, freeze_norms="yes"
    )
    result = train(start, data, tmp_path / "next")
    kept = load_bundle(folder).models[0].state_dict()
    for key, value in weights(result.model).items():
        torch.testing.assert_close(value, kept[key], atol=1e-6, rtol=1e-5)
    with pytest.raises(IchError, match="not resnet18"):
        train(changed(init=str(folder), model="resnet18"), data, tmp_path / "x")
    with pytest.raises(UsageError, match="neither none, imagenet"):
        train(changed(init="nowhere"), data, tmp_path / "y")


def test_context_makes_nine_channels(tmp_path: Path) -> None:
    data = blobs(tmp_path / "data", 4, context=1)
    result = train(changed(epochs=1), data, tmp_path / "out")
    assert data.preprocess.channels == 9
    assert np.isfinite(result.logits).all()


def test_accumulated_parts_learn_what_a_whole_batch_does(
    data: PreparedDataset, tmp_path: Path
) -> None:
    calm = {"epochs": 1, "drop_rate": 0.0, "freeze_norms": "yes", "lr": 1e-3}
    whole = train(changed(**calm), data, tmp_path / "a")
    parts = train(changed(**calm, accumulate=3), data, tmp_path / "b")
    assert parts.history[0]["loss"] == pytest.approx(whole.history[0]["loss"], rel=1e-4)
    np.testing.assert_allclose(parts.logits, whole.logits, atol=1e-4)


def test_the_recipe_trains_with_its_steps_and_plain_ratio(
    data: PreparedDataset, tmp_path: Path
) -> None:
    dlmi = {**RECIPES["dlmi"], "epochs": 4, "batch_size": 8, "step_epochs": 2}
    result = train(changed(**dlmi), data, tmp_path)
    rates = [record["lr"] for record in result.history]
    # after epochs 1 to 4, the rate of the next step: 5e-5, then times 0.412 from epoch 3 on
    np.testing.assert_allclose(rates, np.array([1, 0.412, 0.412, 0.412**2]) * 5e-5)
    labels = np.zeros((100, 6), np.float32)
    labels[0, 0] = 1
    np.testing.assert_allclose(positive_weights(labels, "ratio"), [99, 1, 1, 1, 1, 1])
