"""Response types of the HTTP API, which gradio shows in its documentation."""

# no `from __future__ import annotations`: gradio reads these types

from typing import Literal, TypedDict

Label = Literal[
    "any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"
]


class SliceResult(TypedDict):
    """One slice; `series`, `slice` (from the feet) and `file` count from 1."""

    series: int
    slice: int
    file: int
    sop_uid: str
    series_uid: str
    probabilities: dict[str, float]
    positive: list[str]
    note: str


class Refusal(TypedDict):
    """A file (its number from 1), or a frame of it, that could not be used."""

    file: int
    reason: str


class StudyVerdict(TypedDict):
    """One study.

    `verdict` is positive, unsure, negative, or empty if no slice could be read. `note` says which
    series was used, by its number, if others were not.
    """

    study_uid: str
    verdict: str
    sentence: str
    probabilities: dict[str, float]
    quality: list[str]
    note: str


class PredictResponse(TypedDict):
    """Response of `predict`."""

    bundle: str
    thresholds: dict[str, float]
    studies: list[StudyVerdict]
    slices: list[SliceResult]
    refused: list[Refusal]
    warning: str


class ExplainResponse(TypedDict):
    """Response of `explain`. `peak` is row and column of the map's maximum, or empty."""

    bundle: str
    series: int
    slice: int
    file: int
    label: str
    probability: float
    threshold: float
    positive: bool
    peak: list[int]
    png: str
    warning: str
