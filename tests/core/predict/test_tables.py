"""Tables as their readers see them: literal bytes, round trips, hostile names."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from ich_cli.core.dicom import SliceId
from ich_cli.core.errors import UsageError
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import (
    SLICE_COLUMNS,
    STUDY_COLUMNS,
    Format,
    format_of,
    open_table,
    slice_row,
    study_row,
)
from ich_cli.core.study import SlicePrediction, StudyPrediction
from ich_cli.core.study.quality_gate import Reason

ANSWER = SlicePrediction(
    SliceId("a/b.dcm", 1, "1.2", "1.2.3", "1.2.3.4", 7),
    (0.98765432, 0.0, 0.25, 1e-7, 0.5, 1.0),
    ("any", "subdural"),
    "repaired",
    "gantry tilt 12.0 degrees",
)
REFUSED = SlicePrediction(SliceId("x.dcm"), status="failed", note="not DICOM, see x")


def written(format: Format, predictions: Iterable[SlicePrediction]) -> bytes:
    stream = io.BytesIO()
    with open_table(stream, format, SLICE_COLUMNS) as table:
        for one in predictions:
            table.append(slice_row(one))
    return stream.getvalue()


def test_csv_is_this_to_the_byte() -> None:
    assert written(Format.csv, [ANSWER, REFUSED]).decode() == (
        "path,frame,study_uid,series_uid,sop_uid,instance,any,epidural,intraparenchymal,"
        "intraventricular,subarachnoid,subdural,positive,status,note\n"
        "a/b.dcm,1,1.2,1.2.3,1.2.3.4,7,0.987654,0.000000,0.250000,0.000000,0.500000,1.000000,"
        "any;subdural,repaired,gantry tilt 12.0 degrees\n"
        'x.dcm,1,,,,,,,,,,,,failed,"not DICOM, see x"\n'
    )


def test_json_lines_have_the_same_columns_null_without_a_prediction() -> None:
    first, second = map(json.loads, written(Format.jsonl, [ANSWER, REFUSED]).splitlines())

    assert tuple(first) == SLICE_COLUMNS
    assert first["any"] == 0.987654
    assert first["positive"] == ["any", "subdural"]
    assert first["instance"] == 7
    assert [second[label] for label in LABELS] == [None] * 6
    assert second["instance"] is None
    assert second["note"] == "not DICOM, see x"


def test_parquet_has_the_same_columns_typed() -> None:
    table = pq.read_table(io.BytesIO(written(Format.parquet, [ANSWER, REFUSED])))

    assert tuple(table.column_names) == SLICE_COLUMNS
    first, second = table.to_pylist()
    assert (first["frame"], first["any"], first["positive"]) == (1, 0.987654, ["any", "subdural"])
    assert (second["any"], second["instance"], second["status"]) == (None, None, "failed")
    assert "not a medical device" in table.schema.metadata[b"note"].decode()


def test_rsna_layout_is_that_of_the_challenge() -> None:
    image = SlicePrediction(SliceId("f.dcm", sop_uid="ID_000012eaf"), ANSWER.probabilities)

    assert written(Format.rsna, [image]).decode().splitlines() == [
        "ID,Label",
        "ID_000012eaf_epidural,0.000000000",
        "ID_000012eaf_intraparenchymal,0.250000000",
        "ID_000012eaf_intraventricular,0.000000100",
        "ID_000012eaf_subarachnoid,0.500000000",
        "ID_000012eaf_subdural,1.000000000",
        "ID_000012eaf_any,0.987654320",
    ]


@pytest.mark.parametrize(
    ("path", "frame", "image"),
    [
        ("test/ID_6431af929.dcm", 1, "ID_6431af929"),
        ("rsna.zip!test/ID_6431af929.dcm", 1, "ID_6431af929"),
        ("multi.dcm", 3, "multi_f3"),
    ],
)
def test_rsna_gives_an_unpredicted_image_one_half_under_its_file_name(
    path: str, frame: int, image: str
) -> None:
    rows = written(Format.rsna, [SlicePrediction(SliceId(path, frame), status="failed")])

    assert rows.decode().splitlines()[1] == f"{image}_epidural,0.500000000"
    assert rows.count(b",0.500000000\n") == 6


def test_rsna_refuses_studies() -> None:
    with (
        pytest.raises(UsageError, match="slices, not studies"),
        open_table(io.BytesIO(), Format.rsna, STUDY_COLUMNS),
    ):
        pass


def test_a_study_has_its_worst_slice() -> None:
    reasons = (Reason("metal", "metal"), Reason("few-slices", "only 3 slices"))
    study = StudyPrediction(
        "1.2", ANSWER.probabilities, ("any",), ANSWER.id, 28, 2, "unsure", reasons
    )
    stream = io.BytesIO()
    with open_table(stream, Format.csv, STUDY_COLUMNS) as table:
        table.append(study_row(study))
        table.append(study_row(StudyPrediction("1.3", None, (), None, 0, 1)))

    assert stream.getvalue().decode() == (
        "study_uid,verdict,any,epidural,intraparenchymal,intraventricular,subarachnoid,subdural,"
        "positive,quality,slices,refused,worst_path,worst_frame,worst_sop_uid,note\n"
        "1.2,unsure,0.987654,0.000000,0.250000,0.000000,0.500000,1.000000,any,"
        "metal;only 3 slices,28,2,a/b.dcm,1,1.2.3.4,\n"
        "1.3,,,,,,,,,,0,1,,,,\n"
    )


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=cmd|' /C calc'!A0.dcm", "./=cmd|' /C calc'!A0.dcm"),
        ("-1+1.dcm", "./-1+1.dcm"),
        ("@x", "./@x"),
        ("+x", "./+x"),
        ("\tx", "./\tx"),
        ("scans/=x", "scans/=x"),
    ],
)
def test_a_files_name_is_never_a_formula_and_still_names_the_file(name: str, cell: str) -> None:
    [row] = csv.DictReader(io.StringIO(written(Format.csv, [_named(name)]).decode(), newline=""))

    assert row["path"] == cell
    assert Path(row["path"]) == Path(name)


def test_another_text_that_looks_like_a_formula_gets_an_apostrophe() -> None:
    hostile = SlicePrediction(SliceId("a", sop_uid="=1+1", instance=-3), note="@note")
    [row] = csv.DictReader(io.StringIO(written(Format.csv, [hostile]).decode(), newline=""))

    assert (row["sop_uid"], row["note"], row["instance"]) == ("'=1+1", "'@note", "-3")


@pytest.mark.parametrize("format", [Format.csv, Format.jsonl, Format.parquet, Format.rsna])
def test_a_name_that_is_no_unicode_can_be_written(format: Format) -> None:
    name = b"caf\xe9.dcm".decode("utf-8", "surrogateescape")  # what a Latin-1 disk gives

    data = written(format, [_named(name)])

    if format is Format.parquet:
        assert pq.read_table(io.BytesIO(data)).to_pylist()[0]["path"] == "caf\\udce9.dcm"
    else:
        assert "caf\\udce9" in data.decode("utf-8")
    if format is Format.jsonl:
        assert json.loads(data)["path"] == name


def _named(name: str) -> SlicePrediction:
    return SlicePrediction(SliceId(name), ANSWER.probabilities, (), "ok")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
COUNTS = st.integers(1, 10**6)
SIX = st.tuples(*[st.floats(0, 1)] * 6)
PREDICTIONS = st.builds(
    SlicePrediction,
    st.builds(SliceId, TEXTS, COUNTS, TEXTS, TEXTS, TEXTS, st.none() | COUNTS),
    st.none() | SIX,
    st.lists(st.sampled_from(LABELS), unique=True).map(tuple),
    st.sampled_from(["ok", "repaired", "skipped", "failed"]),
    TEXTS,
)  # fmt: skip


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(PREDICTIONS, max_size=5))
def test_every_format_gives_back_what_was_written(predictions: list[SlicePrediction]) -> None:
    expected = [
        {k: round(v, 6) if isinstance(v, float) else v for k, v in slice_row(one).items()}
        for one in predictions
    ]
    lists = [row | {"positive": list(row["positive"])} for row in expected]  # type: ignore[arg-type]

    lines = written(Format.jsonl, predictions).decode().split("\n")[:-1]
    assert [json.loads(line) for line in lines] == lists
    assert pq.read_table(io.BytesIO(written(Format.parquet, predictions))).to_pylist() == lists
    rows = list(csv.DictReader(io.StringIO(written(Format.csv, predictions).decode(), newline="")))
    assert [_parsed(row) for row in rows] == expected


def _parsed(row: dict[str, str]) -> dict[str, object]:
    def text(column: str) -> str:
        guard = "./" if column == "path" else "'"
        bare = row[column].removeprefix(guard)
        return bare if bare.startswith(("=", "+", "-", "@", "\t", "\r")) else row[column]

    return {
        **{column: text(column) for column in SLICE_COLUMNS},
        **{label: float(row[label]) if row[label] else None for label in LABELS},
        "frame": int(row["frame"]),
        "instance": int(row["instance"]) if row["instance"] else None,
        "positive": tuple(row["positive"].split(";")) if row["positive"] else (),
    }


@pytest.mark.parametrize("format", [Format.csv, Format.jsonl, Format.parquet, Format.rsna])
def test_memory_does_not_grow_with_the_rows(format: Format, tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        with (tmp_path / "out").open("wb") as stream, open_table(
            stream, format, SLICE_COLUMNS
        ) as table:  # fmt: skip
            row = slice_row(ANSWER)
            tracemalloc.start()
            for _ in range(rows):
                table.append(row)
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    assert peak(30_000) < 1.3 * peak(11_000) + 100_000


def test_the_suffix_selects_the_format() -> None:
    assert format_of(Path("a/out.CSV")) is Format.csv
    assert format_of(Path("out.jsonl")) is Format.jsonl
    assert format_of(Path("out.parquet")) is Format.parquet
    with pytest.raises(UsageError, match=r"cannot tell the format from 'out.xlsx'"):
        format_of(Path("out.xlsx"))


@given(st.lists(PREDICTIONS, max_size=5))
def test_a_submission_gives_back_nine_digits_of_every_probability(
    predictions: list[SlicePrediction],
) -> None:
    lines = written(Format.rsna, predictions).decode()
    rows = list(csv.DictReader(io.StringIO(lines, newline="")))
    assert len(rows) == 6 * len(predictions)
    for place, one in enumerate(predictions):
        six = rows[6 * place : 6 * place + 6]
        order = [*LABELS[1:], "any"]
        assert [row["ID"].rpartition("_")[2] for row in six] == order
        expected = one.probabilities or (0.5,) * 6
        by_label = dict(zip(LABELS, expected, strict=True))
        assert [float(row["Label"]) for row in six] == [
            pytest.approx(by_label[label], abs=5e-10) for label in order
        ]


STUDIES = st.builds(
    StudyPrediction,
    TEXTS,
    st.none() | SIX,
    st.lists(st.sampled_from(LABELS), unique=True).map(tuple),
    st.none() | st.builds(SliceId, TEXTS, COUNTS, TEXTS, TEXTS, TEXTS, st.none() | COUNTS),
    COUNTS,
    COUNTS,
    st.sampled_from(["", "positive", "unsure", "negative"]),
    st.lists(st.builds(Reason, st.just("metal"), TEXTS), max_size=3).map(tuple),
)


@given(st.lists(STUDIES, max_size=4))
def test_a_table_of_studies_gives_back_what_was_written(studies: list[StudyPrediction]) -> None:
    expected = []
    for one in studies:
        row = {k: round(v, 6) if isinstance(v, float) else v for k, v in study_row(one).items()}
        expected.append({k: list(v) if isinstance(v, tuple) else v for k, v in row.items()})
    tables: dict[Format, bytes] = {}
    for format in (Format.jsonl, Format.parquet):
        stream = io.BytesIO()
        with open_table(stream, format, STUDY_COLUMNS) as table:
            for one in studies:
                table.append(study_row(one))
        tables[format] = stream.getvalue()
    lines = tables[Format.jsonl].decode().split("\n")[:-1]
    assert [json.loads(line) for line in lines] == expected
    assert pq.read_table(io.BytesIO(tables[Format.parquet])).to_pylist() == expected
