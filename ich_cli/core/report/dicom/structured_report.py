"""Structured Report of a study: a Comprehensive 3D SR by TID 1500 (PS3.16).

It has one measurement group (TID 1501) per label: finding and site, the study probability, and
slice probabilities, each with a reference to its image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import highdicom as hd
from highdicom import sr
from pydicom.sr.coding import Code
from pydicom.uid import CTImageStorage

from ich_cli._version import __version__
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.report.dicom.codes import (
    CERTAINTY,
    COMMENT,
    CT_OF_HEAD,
    FINDINGS,
    MAXIMUM,
    PERCENT,
    SITES,
    VERDICTS,
    CodedConcept,
)
from ich_cli.core.report.study_result import PredictedSlice, StudyResult

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from ich_cli.core.report.dicom.uids import Identity
    from ich_cli.core.study import SlicePrediction

SERIES_NUMBER: Final = 901


@dataclass(frozen=True)
class SourceInstance:
    """A predicted slice, and the data set that identifies its instance in references."""

    slice: PredictedSlice
    source: Dataset

    @property
    def frame(self) -> int:
        """Frame number, from 1."""
        return self.slice.ref.id.frame

    @property
    def row(self) -> SlicePrediction:
        """Prediction for the slice."""
        return self.slice.row


def make_report(
    result: StudyResult, slices: Sequence[SourceInstance], identity: Identity
) -> sr.Comprehensive3DSR:
    """Return the Structured Report.

    Parameters
    ----------
    result
        The study.
    slices
        Slices that have UIDs, in anatomical order; at least one.
    identity
        UIDs and time of the report.
    """
    device = sr.ObserverContext(
        observer_type=hd.sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=identity.device, name="ich", manufacturer_name="ich", model_name="ich",
            serial_number=result.predictor.bundle.config.sha256[:16],
        ),
    )  # fmt: skip
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=_code(CT_OF_HEAD),
        imaging_measurements=[_group(result, slices, label, identity) for label in LABELS],
        title=hd.sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )
    return sr.Comprehensive3DSR(
        evidence=_instances(slices),
        content=content[0],
        series_instance_uid=identity.uid("report series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=identity.uid("report"),
        instance_number=1,
        is_complete=True,
        specific_character_set="ISO_IR 192",
        series_description="ich: hemorrhage report. Research use only",
        **identity.equipment,
        **identity.written,
    )


def _group(
    result: StudyResult, slices: Sequence[SourceInstance], label: str, identity: Identity
) -> sr.MeasurementsAndQualitativeEvaluations:
    chosen = _chosen(slices, label)
    verdict = VERDICTS.get(result.study.verdict) if label == "any" else None
    finding = _code(FINDINGS[label])
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=identity.uid("tracking", label), identifier=f"ich {label}"
        ),
        finding_type=finding,
        finding_sites=[sr.FindingSite(_code(SITES[label]))],
        algorithm_id=_algorithm(result),
        measurements=[
            _study_measurement(result, label),
            *(_slice_measurement(one, label) for one in chosen),
        ],
        qualitative_evaluations=(
            [sr.QualitativeEvaluation(finding, _code(verdict))] if verdict else None
        ),
        source_images=[sr.SourceImageForMeasurementGroup(*_reference(one)) for one in chosen],
    )
    if label == "any":
        group[0].ContentSequence.extend(_comment(text) for text in _comments(result))
    return group


def _chosen(slices: Sequence[SourceInstance], label: str) -> list[SourceInstance]:
    """Return the slices of a group: for `any` all, else those over the threshold or the top one."""
    if label == "any":
        return list(slices)
    over = [one for one in slices if label in one.row.positive]
    return over or [max(slices, key=lambda one: one.row.by_label()[label])]


def _study_measurement(result: StudyResult, label: str) -> sr.Measurement:
    six = result.study.probabilities or (0.0,) * len(LABELS)
    plain_maximum = result.rule.aggregation == "max" and not result.rule.is_calibrated
    return sr.Measurement(
        name=_code(CERTAINTY),
        value=_percent(six[LABELS.index(label)]),
        unit=_code(PERCENT),
        derivation=_code(MAXIMUM) if plain_maximum else None,
    )


def _slice_measurement(one: SourceInstance, label: str) -> sr.Measurement:
    return sr.Measurement(
        name=_code(CERTAINTY),
        value=_percent(one.row.by_label()[label]),
        unit=_code(PERCENT),
        referenced_images=[sr.SourceImageForMeasurement(*_reference(one))],
    )


def _algorithm(result: StudyResult) -> sr.AlgorithmIdentification:
    config = result.predictor.bundle.config
    rule = result.rule
    return sr.AlgorithmIdentification(
        name=f"ich {config.architecture}",
        version=__version__,
        parameters=[
            f"weights sha256 {config.sha256}",
            f"study: {rule.aggregation}, negative below {rule.rule_out:g}, "
            f"positive from {rule.rule_in:g}",
        ],
    )


def _comments(result: StudyResult) -> list[str]:
    caveat = result.predictor.caveat
    reasons = [f"Quality: {reason.text}" for reason in result.study.quality]
    note = [f"Note: {result.study.note}"] if result.study.note else []
    return [RESEARCH_ONLY, *([caveat] if caveat else []), *reasons, *note]


def _comment(text: str) -> sr.TextContentItem:
    return sr.TextContentItem(
        name=_code(COMMENT), value=text, relationship_type=sr.RelationshipTypeValues.CONTAINS
    )


def _reference(one: SourceInstance) -> tuple[str, str, list[int] | None]:
    frames = [one.frame] if "NumberOfFrames" in one.source else None
    return one.source.SOPClassUID, one.source.SOPInstanceUID, frames


def _instances(slices: Sequence[SourceInstance]) -> list[Dataset]:
    return list({one.source.SOPInstanceUID: one.source for one in slices}.values())


def _percent(probability: float) -> float:
    return round(100 * probability, 4)


def _code(coded: CodedConcept) -> Code:
    return Code(coded.value, coded.scheme, coded.meaning)


def default_class(source: Dataset) -> Any:
    """Return the SOP class of the source, or CT Image Storage if it has none."""
    return source.get("SOPClassUID") or CTImageStorage
