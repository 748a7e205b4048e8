"""Names and inputs of the Python API."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

import ich_cli
from ich_cli import (
    LABELS,
    BrokenFileError,
    IchError,
    PhantomConfig,
    Predictor,
    UsageError,
    generate_phantom,
    read,
)
from ich_cli.core.phantom.write_dicom import to_datasets

STUDY = generate_phantom(PhantomConfig(3, ("subdural",), 64, (4, 4), (5.0, 5.0)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a synthetic series of four slices."""
    folder = tmp_path_factory.mktemp("study")
    for number, dataset in enumerate(to_datasets(STUDY), 1):
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> Predictor:
    return Predictor.load(tiny_bundle, device="cpu", engine="torch")


def test_all_names_exist_and_dir_lists_them() -> None:
    assert dir(ich_cli) == sorted(ich_cli.__all__)
    for name in ich_cli.__all__:
        assert getattr(ich_cli, name) is not None
    documented = {"Predictor", "scan", "read", "CTSlice", "Series", "SlicePrediction"}
    documented |= {"StudyPrediction", "explain", "faithfulness", "overlay", "load_bundle"}
    documented |= {"write_report", "write_dicom", "generate_phantom", "IchError", "LABELS"}
    assert documented | {"SUBTYPES", "__version__"} <= set(ich_cli.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        ich_cli.no_such_name  # noqa: B018


def test_all_errors_are_exported() -> None:
    errors = {one.__name__ for one in _subclasses(IchError) if one.__module__.endswith(".errors")}
    assert errors <= set(ich_cli.__all__)


def _subclasses(kind: type) -> list[type]:
    return [kind, *(deep for one in kind.__subclasses__() for deep in _subclasses(one))]


def test_importing_loads_neither_numpy_nor_torch() -> None:
    code = (
        "import sys, ich_cli; dir(ich_cli); print('numpy' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_path_stream_and_data_set_give_the_same_slice(folder: Path) -> None:
    path = folder / "2.dcm"
    from_path = read(path)
    assert from_path.hu.dtype == np.float32
    np.testing.assert_array_equal(from_path.hu, STUDY.hu[1])
    for source in (io.BytesIO(path.read_bytes()), pydicom.dcmread(path)):
        ct = read(source)
        np.testing.assert_array_equal(ct.hu, from_path.hu)
        assert ct.geometry == from_path.geometry
        assert ct.id == from_path.id._replace(path="<memory>")


def test_a_data_set_without_file_meta(folder: Path) -> None:
    dataset = pydicom.dcmread(folder / "1.dcm")
    del dataset.file_meta
    np.testing.assert_array_equal(read(dataset).hu, STUDY.hu[0])
    assert not hasattr(dataset, "file_meta")


def test_read_takes_one_slice(folder: Path) -> None:
    with pytest.raises(UsageError, match="more than one file"):
        read(folder)
    for source in (folder / "1.dcm", io.BytesIO((folder / "1.dcm").read_bytes())):
        with pytest.raises(UsageError, match="no frame 2"):
            read(source, frame=2)


def test_what_is_not_dicom(tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("text")
    with pytest.raises(BrokenFileError, match=r"text\.dcm: not DICOM"):
        read(tmp_path / "text.dcm")
    with pytest.raises(BrokenFileError, match="<memory>: not DICOM"):
        read(io.BytesIO(b"text"))
    dataset = pydicom.Dataset()
    dataset.Modality = "MR"
    with pytest.raises(IchError):
        read(dataset)


def test_arrays_streams_and_data_sets_are_predicted_as_files_are(
    predictor: Predictor, folder: Path
) -> None:
    expected = [one.probabilities for one in predictor.predict(folder)]
    assert len(expected) == 4
    assert None not in expected
    spacing = (5.0, *STUDY.geometry.spacing)
    for found in (
        predictor.predict_hu(STUDY.hu, spacing=spacing),
        predictor.predict(*(io.BytesIO((folder / f"{n}.dcm").read_bytes()) for n in (1, 2, 3, 4))),
        predictor.predict(*(pydicom.dcmread(folder / f"{n}.dcm") for n in (1, 2, 3, 4))),
    ):
        assert [one.probabilities for one in found] == expected


def test_a_source_in_memory_that_cannot_be_used_has_a_reason(
    predictor: Predictor, folder: Path
) -> None:
    good = io.BytesIO((folder / "1.dcm").read_bytes())
    bad, found = predictor.predict(io.BytesIO(b"text"), good)
    assert (bad.status, bad.probabilities) == ("failed", None)
    assert bad.note.startswith("not DICOM")
    assert found.probabilities is not None
    with pytest.raises(UsageError, match="either paths, or streams"):
        predictor.predict(good, folder)


def test_slices_of_one_series_are_predicted_in_anatomical_order(
    predictor: Predictor, folder: Path
) -> None:
    files = [folder / f"{number}.dcm" for number in (3, 1, 4, 2)]
    found = predictor.predict(*map(pydicom.dcmread, files))
    assert [one.id.instance for one in found] == [3, 1, 4, 2]


def test_thresholds_of_arrays(predictor: Predictor) -> None:
    (row,) = predictor.predict_hu(STUDY.hu[0], thresholds=dict.fromkeys(LABELS, 0.0))
    assert row.positive == LABELS
    assert replace(row, positive=()) == replace(
        predictor.predict_hu(STUDY.hu[0], thresholds=dict.fromkeys(LABELS, 1.0))[0], positive=()
    )


@pytest.mark.parametrize("volume", [np.zeros(3), np.zeros((0, 4, 4)), np.full((4, 4), np.nan)])
def test_other_arrays_are_refused(predictor: Predictor, volume: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"finite HU of shape \(N, H, W\) or \(H, W\)"):
        predictor.predict_hu(volume)
