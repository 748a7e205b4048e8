"""What the API for programs returns, as types that gradio shows to its callers."""

# no `from __future__ import annotations`: gradio reads these types

from typing import Literal, TypedDict

Label = Literal[
    "any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"
]


class SliceAnswer(TypedDict):
    """One slice: its place in its series, from the feet, and the file it came from; all from 1."""

    series: int
    slice: int
    file: int
    sop_uid: str
    series_uid: str
    probabilities: dict[str, float]
    positive: list[str]
    note: str


class Refusal(TypedDict):
    """A file, by its number from 1, or a frame of it, that could not be used."""

    file: int
    reason: str


class StudyAnswer(TypedDict):
    """One study. `verdict` is positive, unsure, negative, or empty where nothing could be read."""

    study_uid: str
    verdict: str
    sentence: str
    probabilities: dict[str, float]
    quality: list[str]


class PredictAnswer(TypedDict):
    """What `predict` returns."""

    bundle: str
    thresholds: dict[str, float]
    studies: list[StudyAnswer]
    slices: list[SliceAnswer]
    refused: list[Refusal]
    warning: str


class ExplainAnswer(TypedDict):
    """What `explain` returns. `peak` is row and column of the map's highest value, or empty."""

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
