"""Recognise words in the free text of headers, in the languages that scanners are used in.

Texts are compared in capitals, without accents, with one space between words.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from ich_cli.core.dicom.elements import Elements

_NO_ACCENT: Final = str.maketrans({"Ł": "L", "Ø": "O", "Đ": "D", "İ": "I", "I": "I", "Æ": "AE"})


def plain(text: str) -> str:
    """Return capitals without accents; other characters become a single space.

    ``W/O`` becomes ``W O``, ``SCHÄDEL`` becomes ``SCHADEL``.
    """
    split = unicodedata.normalize("NFKD", text.upper().translate(_NO_ACCENT))
    letters = "".join(c for c in split if not unicodedata.combining(c))
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFC", letters)))


def header_text(elements: Elements, keyword: str) -> str:
    """Return the first value of a text element, whatever its character set."""
    data = elements.data(keyword)
    if data.isascii():
        return elements.text(keyword)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:  # by SpecificCharacterSet, which code strings (CS) do not follow
        value = getattr(elements.element(keyword), "value", None)
        text = str(value) if value else data.decode("latin-1")
    return text.split("\\")[0].strip("\0 \t\r\n")


_HEAD_PARTS: Final = (
    "HEAD", "BRAIN", "SKULL", "CRAN", "KRAN", "NEURO", "FACE", "FACIAL", "ORBIT", "SINUS",
    "TEMPORAL", "CEREB", "ENCEF", "ENCEPH", "CEPHAL", "KOPF", "SCHAEDEL", "SCHADEL", "HIRN",
    "CABEZA", "CABECA", "TETE", "CERVEAU", "CERVELLO", "HOOFD", "SCHEDEL", "HERSEN", "HUVUD",
    "HJARN", "HJERN", "SKALLE", "HLAVA", "MOZEK", "LEBKA", "GLOWA", "CZASZKA", "MOZG", "GLAVA",
    "MOZAK", "LUBANJA", "KOPONYA", "AIVOT", "KALLO", "BEYIN", "KEPALA",
    "ΚΕΦΑΛ", "ΕΓΚΕΦ", "ΚΡΑΝΙ", "ГОЛОВ", "ЧЕРЕП", "МОЗГ", "МОЗОК",  # noqa: RUF001
    "頭", "头", "脑", "腦", "脳", "颅", "顱", "머리", "두부", "뇌",
)  # fmt: skip
"""Parts of words for the head, its bones and the brain."""

_HEAD_WORDS: Final = frozenset(
    ("EAR", "EARS", "IAC", "IACS", "CAPO", "CAPUT", "CAP", "TESTA", "FEJ", "AGY", "PAA", "HODE",
     "HODET", "HOVED", "KAFA", "OTAK")
)  # fmt: skip
"""Whole words: parts of other words (HEART, CARDIAC) are not meant."""


def is_head(body_part: str) -> bool:
    """Return whether BodyPartExamined names the head or part of it."""
    words = plain(body_part).split()
    return any(word in _HEAD_WORDS or any(map(word.__contains__, _HEAD_PARTS)) for word in words)


_NEGATIONS: Final = """
    NO NOT NON NONE NIL NILL NULL NEIN NICHT KEIN KEINE KEINES NEE NIET GEEN NEJ NEI INGEN INGET
    IKKE INTE NAO NENHUM NIE BRAK NE NEM NINCS NENI BEZ YOK WITHOUT WITHOUTCONTRAST WO OHNE SANS
    AUCUN AUCUNE PAS SIN SEM SENZA ZONDER UTAN UTEN UDEN ILMAN NINGUNO NINGUNA NINGUN NESSUNO
    NESSUNA NESSUN NADA NIENTE RIEN NATIV NATIVE NATIVO NATIVA NATIEF NATIVT NATYWNE UNENHANCED
    PLAIN NONENHANCED NCCT NECT PRECONTRAST BLANK
"""
_NOT_NEGATED: Final = r"(?: ION\w*| REAC\w*| COMPL\w*| EXTRAV\w*| ALLERG\w*| ADVERSE| PROBLEM\w*)"
_NO_AGENT: Final = re.compile(
    rf"\b(?:{'|'.join(_NEGATIONS.split())}|NONCON\w*|W O|S C)\b(?!{_NOT_NEGATED})"
)
_NO_AGENT_ALONE: Final = frozenset(
    {"", "N", "NA", "N A", "N N", "ND", "N D", "NC", "N C", "NEG", "NEGATIVE", "FALSE", "OFF", "O",
     "UNKNOWN", "UNK", "UNSPECIFIED", "UNBEKANNT"}
)  # fmt: skip
_AGENT: Final = re.compile(
    r"\b(?:IO[BDHMPVX]\w+|JO[HMPV]\w+|OMNIPA\w*|ISOVUE\w*|ULTRAV\w*|VISIPA\w*|OPTIRA\w*|XENETIX\w*"
    r"|IMERON\w*|ACCUPA\w*|SOLUTRA\w*|OXILAN\w*|CONRAY\w*|HEXABR\w*|TELEBR\w*|NIOPAM\w*|SCANLUX\w*"
    r"|[1-9]\d* ?(?:ML|CC))\b"
)
"""Names of iodinated agents, or a volume of more than nothing."""
_WITH_AND_WITHOUT: Final = re.compile(r"^(?:W(?! O\b)|WITH|MIT|AVEC|CON|COM|MET|MED)\b")


def names_agent(contrast_agent: str) -> bool:
    """Return whether ContrastBolusAgent names an agent, rather than saying that there was none."""
    text = plain(contrast_agent)
    if text in _NO_AGENT_ALONE or re.fullmatch(r"[0 ]*(?:ML|CC|MG)?", text):
        return False
    if _WITH_AND_WITHOUT.match(text):
        return True
    negation = _NO_AGENT.search(text)
    if negation is None:
        return True
    return negation.start() > 0 and _AGENT.search(text) is not None


_HU_STATED: Final = frozenset({"", "HU", "HU MOD"})
_NO_UNIT: Final = frozenset(
    {"US", "UNSPECIFIED", "NOT SPECIFIED", "UNKNOWN", "NONE", "N A", "NA", "NULL", "UNDEFINED"}
)
_HU_WORD: Final = re.compile(r"HUS?|UH|HE|HFU|HNSF|HOUN[DS]\w*")
_UNIT_WORD: Final = re.compile(
    r"U|S|UNIT[ES]*|UNIDAD\w*|UNITA|EINHEIT\w*|EENHE\w*|VALUES?|NUMBERS?|SCALE|FIELD|IN|DE|DI|OF|CT"
)


def states_hu(rescale_type: str) -> bool | None:
    """Return whether RescaleType states Hounsfield units (PS3.3 C.11.1.1.2).

    Returns
    -------
    bool or None
        True for ``HU``, ``HU_MOD`` or nothing. None where it leaves the unit open (``US``: ITK
        writes it) or spells Hounsfield in its own way. False for other units.
    """
    text = plain(rescale_type)
    if text in _HU_STATED and (text or not rescale_type):
        return True
    words = text.replace("H U", "HU").split()
    units = [word for word in words if not _HU_WORD.fullmatch(word)]
    spelled = len(units) < len(words) and all(map(_UNIT_WORD.fullmatch, units))
    return None if spelled or not text or text in _NO_UNIT else False
