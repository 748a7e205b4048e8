"""Free text of headers: contrast agents, body parts, units, kinds of image."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from ich_cli.core.dicom import DEFAULT_LIMITS, Frame, Note, read_frames
from ich_cli.core.dicom.kinds import kind_of_description, kind_of_type
from ich_cli.core.dicom.words import is_head, names_agent, plain, states_hu
from ich_cli.core.errors import InputError, NotApplicableError
from tests.support.dicom import ct, encoded, enhanced, put, tissue


def read(ds: Dataset) -> list[Frame | InputError]:
    data = encoded(ds)
    return read_frames(io.BytesIO(data), len(data), "the file", DEFAULT_LIMITS)


def frame(ds: Dataset) -> Frame:
    (found,) = read(ds)
    assert isinstance(found, Frame)
    return found


def refusal(ds: Dataset) -> InputError:
    try:
        (found,) = read(ds)
    except InputError as error:
        return error
    assert isinstance(found, InputError)
    return found


def test_plain_text_has_neither_accents_nor_signs() -> None:
    assert plain("  W/O contrast (Schädel, Tête, Głowa)") == "W O CONTRAST SCHADEL TETE GLOWA"


@pytest.mark.parametrize(
    "text",
    ["", "NO CONTRAST", "WITHOUT CONTRAST", "-", "Nil", "N.A.", "n/a", "NONE", "Ohne KM", "SANS",
     "SANS INJECTION", "SIN CONTRASTE", "sem contraste", "senza mdc", "NATIV", "Native", "W/O",
     "w/o contrast", "No IV contrast", "CONTRAST: NONE", "Kein KM", "KM: nein", "0", "0 ml", "?",
     "Non-contrast", "NONCON", "zonder contrast", "unenhanced", "Ø", "NOT APPLICABLE", "S/C",
     "pas de produit"],
)  # fmt: skip
def test_texts_that_deny_a_contrast_agent(text: str) -> None:
    assert not names_agent(text)


@pytest.mark.parametrize(
    "text",
    ["ISOVUE300/100", "Omnipaque 350", "NON IONIC", "100 ML NON-IONIC", "Nonionic contrast", "YES",
     "CONTRAST", "APPLIED", "IV", "KM", "Ultravist 370, no reaction", "W/ AND W/O",
     "with and without", "Iohexol", "Jopamiro", "Iomeron 400 ohne Komplikationen", "ORAL & IV"],
)  # fmt: skip
def test_texts_that_name_a_contrast_agent(text: str) -> None:
    assert names_agent(text)


def test_a_denied_agent_leaves_no_note() -> None:
    assert frame(ct(ContrastBolusAgent="NO CONTRAST")).notes == ()
    item = Dataset()
    item.CodeMeaning = "No contrast"
    assert frame(ct(ContrastBolusAgentSequence=Items([item]))).notes == ()
    assert frame(ct(ContrastBolusAgent="Iohexol")).notes == (Note.CONTRAST,)


@pytest.mark.parametrize(
    "text",
    ["HEAD", "HEADNECK", "BRAIN", "SKULL", "CTHEAD", "KOPF", "SCHAEDEL", "SCHÄDEL", "GEHIRN",
     "CABEZA", "CRANEO", "CRÁNEO", "TETE", "TÊTE", "CRANE", "CEREBRUM", "TESTA", "CEREBRO",
     "CABEÇA", "ENCÉFALO", "HOOFD", "HERSENEN", "Głowa", "Hlava", "PÄÄ", "IAC", "EAR", "头颅",
     "頭部", "머리"],
)  # fmt: skip
def test_body_parts_of_the_head(text: str) -> None:
    assert is_head(text)


@pytest.mark.parametrize(
    "text", ["CHEST", "HEART", "CARDIAC", "ILIAC", "ABDOMEN", "NECK", "HALS", "CSPINE", "CAPSULE"]
)
def test_body_parts_other_than_the_head(text: str) -> None:
    assert not is_head(text)


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192"])
def test_a_body_part_in_either_character_set(charset: str) -> None:
    ds = put(ct(SpecificCharacterSet=charset), "BodyPartExamined", "SCHÄDEL")
    assert frame(ds).notes == ()
    assert frame(ct(BodyPartExamined="HEART")).notes == (Note.NOT_HEAD,)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        *[(text, True) for text in ("", "HU", "hu", "HU_MOD")],
        *[
            (text, None)
            for text in ("US", "UNSPECIFIED", "H.U.", "H U", "HUs", "Hounsfield",
                "HOUNSFIELD UNIT(S)",
                "hounsfield_units", "HU units", "[hnsf'U]", "Hounsfield-Einheiten",
                "Unidades Hounsfield", "Unités Hounsfield", "UH", "Houndsfield", "-", "N/A")
        ],
        *[
            (text, False)
            for text in ("OD", "MGML", "Z_EFF", "ED", "EDW", "PCT", "PERCENT", "electron density",
                "HU*10", "mg/ml", "ml/100g/min", "IODINE", "g/cm3", "CBF", "1/cm")
        ],
    ],
)  # fmt: skip
def test_units_of_the_values(text: str, stated: bool | None) -> None:
    assert states_hu(text) is stated


@pytest.mark.parametrize("text", ["OD", "PERCENT", "electron dens."])
def test_other_units_are_refused(text: str) -> None:
    error = refusal(ct(RescaleType=text))
    assert isinstance(error, NotApplicableError)
    assert error.note == "RescaleType is not HU"


def test_other_units_are_refused_in_functional_groups() -> None:
    ds = enhanced(np.stack([tissue()] * 2), [(0, 0, 0), (0, 0, 5)])
    groups = ds.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0]
    groups.RescaleType = "US"
    assert [isinstance(one, Frame) and one.rescale.stated for one in read(ds)] == [False, False]
    groups.RescaleType = "PCT"
    assert refusal(ds).note == "frame 1: RescaleType is not HU"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("MIP", "a maximum intensity projection"),
        ("AX MIP 10mm", "a maximum intensity projection"),
        ("Proyección de intensidad máxima", "a maximum intensity projection"),
        ("MinIP", "a minimum intensity projection"),
        ("Min-IP cor", "a minimum intensity projection"),
        ("VRT", "a volume rendering"),
        ("Subtraktion", "a subtraction"),
        ("Sustracción", "a subtraction"),
        ("SOUSTRACTION", "a subtraction"),
        ("Iodine map", "an iodine or material map"),
        ("Jodkarte", "an iodine or material map"),
        ("mapa de yodo", "an iodine or material map"),
        ("Z eff", "an iodine or material map"),
        ("VNC", "a virtual image of spectral CT"),
        ("Virtuell nativ", "a virtual image of spectral CT"),
        ("Mono 40 keV", "a virtual image of spectral CT"),
        ("monoenergetisch", "a virtual image of spectral CT"),
        ("Perfusión", "a perfusion map"),
        ("Tmax", "a perfusion map"),
        ("rCBV map", "a perfusion map"),
        ("Dose Report", "a dose report"),
        ("Patientenprotokoll", "a dose report"),
        ("Informe de dosis", "a dose report"),
        ("Rapport de dose", "a dose report"),
        ("Screen Save", "a screen capture"),
        ("Captura de pantalla", "a screen capture"),
        ("Topogramm", "a localizer"),
        ("tAVG", "an average over time"),
    ],
)
def test_descriptions_of_other_images(text: str, kind: str) -> None:
    assert kind_of_description(text) == kind


@pytest.mark.parametrize(
    "text",
    ["", "0.625mm", "2.5/5mm", "PRE CONTRAST THIN", "Kopf nativ 5mm", "AX HEAD 5mm",
     "low dose head",
     "Dosis baja cráneo", "reduced dose", "thin for MIP", "0.6 für MIP", "SUBDURAL FU", "sub-acute",
     "AVERAGE 5MM", "Ax 3mm Avg", "MPR", "BONE", "sans iode", "CT Kopf ohne Jod", "3D source",
     "STROKE NCCT", "CT HEAD W/O"],
)  # fmt: skip
def test_descriptions_of_plain_slices(text: str) -> None:
    assert kind_of_description(text) == ""


@pytest.mark.parametrize(
    "value",
    ["MIP", "MINIP", "MAX_IP", "MIN_IP", "MAXIMUM", "MINIMUM", "SUBTRACTION", "CSA MIP", "VMI",
     "MAT_SPECIFIC", "EFF_ATOMIC_NUM", "ELECTRON_DENSITY", "PERFUSION", "CBF", "SCREEN SAVE",
     "DOSE_INFO", "CT_SOM5 PROT", "CT_SOM5 TOP", "LOCALIZER", "VOLUME_RENDER", "PROJECTION IMAGE",
     "STD_DEVIATION", "IODINE_MAP", "MONOENERGETIC"],
)  # fmt: skip
def test_image_types_of_other_images(value: str) -> None:
    assert kind_of_type(value)


@pytest.mark.parametrize(
    "value",
    ["ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "AXIAL", "ADD", "NORMAL", "OTHER",
     "REFORMATTED",
     "AVERAGE", "MEAN", "RESAMPLED", "MPR", "CSA MPR", "CT_SOM5 SPI", "CT_SOM5 SEQ", "NONE"],
)  # fmt: skip
def test_image_types_of_plain_slices(value: str) -> None:
    assert kind_of_type(value) == ""


@pytest.mark.parametrize(
    ("elements", "note"),
    [
        (
            {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MIP"]},
            "a maximum intensity projection (ImageType), not a plain CT slice",
        ),
        (
            {"SeriesDescription": "Dosisbericht"},
            "a dose report (SeriesDescription), not a plain CT slice",
        ),
        (
            {"VolumeBasedCalculationTechnique": "MAX_IP"},
            "a maximum intensity projection (VolumeBasedCalculationTechnique), "
            "not a plain CT slice",
        ),
    ],
)
def test_other_images_are_skipped(elements: dict[str, object], note: str) -> None:
    error = refusal(ct(**elements))
    assert (error.status, error.note) == ("skipped", note)


@pytest.mark.parametrize(
    "elements",
    [
        {"RescaleIntercept": None, "RescaleSlope": None},
        {"RescaleIntercept": "0"},
        {"RescaleIntercept": "-1024"},
        {"RescaleSlope": "4", "RescaleIntercept": "-1000", "position": None},
    ],
)
def test_pages_of_8_bits_are_skipped(elements: dict[str, object]) -> None:
    page = np.zeros((64, 64), np.int64)
    page[8:10, 8:40] = 255
    error = refusal(ct(page, bits=8, **elements))  # type: ignore[arg-type]
    assert error.status == "skipped"
    assert error.note.startswith("an 8-bit page without the HU of a slice")
