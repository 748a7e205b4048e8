"""No patient on both sides: folds of several data sets, and the weights that a run starts from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.bundle import read_config
from ich_cli.core.data import PreparedDataset
from ich_cli.core.errors import DataError, OutputError
from ich_cli.core.train import (
    Plan,
    TrainConfig,
    check_initial_weights,
    collect_out_of_fold,
    ensemble_runs,
    refit,
    start_run,
    train_fold,
)
from tests.support.prepared import BlobSeries, Renamed, blobs, prepare, without_hashes

pytestmark = pytest.mark.usefixtures("one_thread")


def plan(data: tuple[PreparedDataset, ...], out: Path, init: str = "none", **more: object) -> Plan:
    config = TrainConfig(
        model="test_resnet", init=init, epochs=1, batch_size=8, precision="no", ema=0.9
    )
    return Plan(config=config, data=data, out=out, folds=2, device="cpu", **more)  # type: ignore[arg-type]


def names(one: Plan, fold: int | None) -> list[list[str]]:
    return [
        [f"{part.data.name}:{part.data.rows[row].name}" for row in part.rows]
        for part in one.selections(fold)
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return blobs(tmp_path_factory.mktemp("data") / "blobs", 4)


@pytest.fixture(scope="module")
def run(data: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of two folds with its refit."""
    own = plan((data,), tmp_path_factory.mktemp("run") / "run")
    start_run(own)
    for fold in range(2):
        train_fold(own, fold)
    refit(own, collect_out_of_fold(own))
    return own.out


class TestSeveralDataSets:
    @pytest.mark.parametrize("fold", [0, 1])
    def test_the_same_set_twice_never_trains_on_its_validation_slices(
        self, data: PreparedDataset, tmp_path: Path, fold: int
    ) -> None:
        own = plan((data, data), tmp_path / "run")
        (train,) = names(own, fold)  # copies are used once
        held_out = {row.name for row, k in zip(data.rows, own.fold_of(), strict=True) if k == fold}
        assert len(train) == 12
        assert len(held_out) == 12
        assert not {name.partition(":")[2] for name in train} & held_out

    def test_refit_uses_copies_once(self, data: PreparedDataset, tmp_path: Path) -> None:
        (train,) = names(plan((data, data), tmp_path / "run"), None)
        assert len(train) == 24

    def test_other_images_of_a_validation_patient_are_left_out(self, tmp_path: Path) -> None:
        a = prepare(tmp_path / "a", [BlobSeries(k, f"NAME^{k}") for k in range(4)])
        b = prepare(tmp_path / "b", [BlobSeries(k + 50, f"NAME^{k}") for k in range(3, 6)])
        own = plan((a, b), tmp_path / "run")
        for fold in (0, 1):
            shared = [name for name in names(own, fold)[1] if name.startswith("b:series-53/")]
            assert bool(shared) == (own.fold_of()[-1] != fold)
            assert len(names(own, fold)[1]) - len(shared) == 12

    def test_patients_with_the_same_images_are_in_one_fold(self, tmp_path: Path) -> None:
        series = [BlobSeries(k, f"NAME^{k}") for k in range(4)] + [Renamed(0, "NAME^9", shown=9)]
        own = plan((prepare(tmp_path / "a", series),), tmp_path / "run")
        assert own.fold_of()[0] == own.fold_of()[-1]
        assert len(names(own, None)[0]) == 24

    def test_without_overlap_all_is_as_before(self, data: PreparedDataset, tmp_path: Path) -> None:
        other = blobs(tmp_path / "other", 2, first=20)
        own = plan((data, other), tmp_path / "run")
        assert [len(part) for part in names(own, 0)] == [12, 12]
        assert own.split() == plan((data,), tmp_path / "run").split()

    def test_the_counts_are_recorded_and_an_older_run_is_not_continued(
        self, data: PreparedDataset, tmp_path: Path
    ) -> None:
        own = plan((data, data), tmp_path / "run")
        start_run(own)
        about = json.loads((own.out / "run.json").read_text())
        assert about.pop("overlap") == {"patients": 4, "slices": 24}
        (own.out / "run.json").write_text(json.dumps(about))
        with pytest.raises(OutputError, match="other settings \\(overlap\\)"):
            start_run(replace(own, resume=True))


class TestInitialWeights:
    def test_weights_of_all_patients_are_refused(
        self, data: PreparedDataset, run: Path, tmp_path: Path
    ) -> None:
        own = plan((data,), tmp_path / "run", str(run / "bundle"))
        expected = r"trained on 12 of 12 slices and 2 of 2 patients of blobs in validation fold 0"
        with pytest.raises(DataError, match=expected) as error:
            train_fold(own, 0)
        assert str(error.value).endswith("start from other weights, or add --allow-overlap")

    def test_so_is_the_file_of_weights_inside(
        self, data: PreparedDataset, run: Path, tmp_path: Path
    ) -> None:
        own = plan((data,), tmp_path / "run", str(run / "bundle" / "model.safetensors"))
        with pytest.raises(DataError, match="trained on 12 of 12 slices"):
            check_initial_weights(own, 0)

    def test_allowed_with_a_note(self, data: PreparedDataset, run: Path, tmp_path: Path) -> None:
        notes: list[str] = []
        own = plan((data,), tmp_path / "run", str(run / "bundle"), allow_overlap=True)
        assert check_initial_weights(own, 1, notes.append) == str(run / "bundle")
        assert notes[0].endswith("of blobs in validation fold 1: the metrics are optimistic")

    def test_part_of_the_set_at_another_size(self, run: Path, tmp_path: Path) -> None:
        part = blobs(tmp_path / "part", 4, first=3, size=48)  # one of its patients was learned from
        own = plan((part,), tmp_path / "run", str(run / "bundle"))
        fold = int(own.fold_of()[0])
        check_initial_weights(own, 1 - fold)
        with pytest.raises(DataError, match=r"trained on 6 of 12 slices and 1 of 2 patients"):
            check_initial_weights(own, fold)

    def test_other_patients_are_accepted(self, run: Path, tmp_path: Path) -> None:
        notes: list[str] = []
        other = blobs(tmp_path / "other", 2, first=20)
        own = plan((other,), tmp_path / "run", str(run / "bundle"))
        check_initial_weights(own, 0, notes.append)
        assert notes == []

    def test_a_run_with_the_same_folds_is_accepted(
        self, data: PreparedDataset, run: Path, tmp_path: Path
    ) -> None:
        own = plan((data,), tmp_path / "run", str(run))
        assert check_initial_weights(own, 1) == str(run / "fold-1" / "bundle")
        train_fold(own, 1)
        learned = read_config(own.out / "fold-1" / "bundle").learned_from
        assert learned is not None
        assert learned.slices == 12

    def test_unknown_slices_are_noted(
        self, data: PreparedDataset, tiny_bundle: Path, tmp_path: Path
    ) -> None:
        notes: list[str] = []
        check_initial_weights(plan((data,), tmp_path / "run", str(tiny_bundle)), 0, notes.append)
        assert notes[0].startswith("it is not known which slices --init ")


class TestRecord:
    def test_folds_and_refit(self, data: PreparedDataset, run: Path) -> None:
        whole = read_config(run / "bundle").learned_from
        parts = [read_config(run / f"fold-{fold}" / "bundle").learned_from for fold in (0, 1)]
        assert whole is not None
        assert parts[0] is not None
        assert parts[1] is not None
        assert whole.slices == 24
        assert whole.complete
        assert whole.patients == whole.sets == ()
        assert whole.other_patients == 0  # blobs are no real CT
        assert parts[0].union(parts[1]).hashes == whole.hashes
        assert parts[0].hashes != parts[1].hashes

    def test_what_the_initial_weights_learned_from_is_kept(self, run: Path, tmp_path: Path) -> None:
        other = blobs(tmp_path / "other", 2, first=20, real_ct=True)
        own = plan((other,), tmp_path / "run", str(run / "bundle"))
        start_run(own)
        learned = read_config(refit(own, None)).learned_from
        assert learned is not None
        assert learned.slices == 36
        assert learned.other_patients == 2
        assert learned.complete

    def test_sets_of_earlier_versions_are_not_known(self, tmp_path: Path) -> None:
        own = plan((without_hashes(blobs(tmp_path / "old", 2)),), tmp_path / "run")
        start_run(own)
        learned = read_config(refit(own, None)).learned_from
        assert learned is not None
        assert not learned.complete
        assert learned.slices == 0


def test_ensemble_refuses_runs_that_saw_their_validation_slices(
    data: PreparedDataset, run: Path, tmp_path: Path
) -> None:
    own = plan((data,), tmp_path / "run", str(run / "bundle"), allow_overlap=True)
    start_run(own)
    for fold in range(2):
        train_fold(own, fold)
    refit(own, collect_out_of_fold(own))
    with pytest.raises(DataError, match="its predictions are not out of fold"):
        ensemble_runs([run, own.out], data, tmp_path / "both")


def test_ensemble_of_clean_runs(data: PreparedDataset, run: Path, tmp_path: Path) -> None:
    found = ensemble_runs([run, run], data, tmp_path / "both")
    assert np.isfinite(found.logits).all()
