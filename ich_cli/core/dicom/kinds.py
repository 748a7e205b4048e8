"""Tell plain CT slices from other images of a study by ImageType and SeriesDescription.

Projections, maps, pages and screens lie beside the slices of a head, often in the same series.
"""

from __future__ import annotations

import re
from typing import Final

from ich_cli.core.dicom.words import plain

_KINDS: Final = {
    "a localizer": r"LOCALI[SZ]ER|SCOUT|TOPOGRAM\w*|CT SOM\w* TOP|SURVIEW|SCANOGRAM\w*|SCOUTVIEW"
    r"|LOKALISATOR|LOCALIZADOR|LOCALIZZATORE|LOCALISATEUR|SCANOGRAF\w*|UBERSICHTSAUFNAHME",
    "a dose report": r"DOSE (?:INFO\w*|REPORT|SHEET|PAGE|SUMMARY|RECORD|PROTOCOL|DATA)|DOSEREPORT"
    r"|DOSEINFO|(?:RAPPORTO?|REPORT|RELATORIO) (?:D[EI]? )?DOSE|DOSIS ?(?:PROTO\w*|BERICHT|INFO\w*"
    r"|RAPPORT|BLATT|REPORT)|(?:INFORME|REPORTE|RESUMEN|HOJA) DE (?:LA )?DOSIS"
    r"|(?:PATIENT|PATIENTEN|EXAM) ?PROTO[CK]OLL?|PROTOCOLE PATIENT|PROTOCOLO (?:DEL? )?PACIENTE"
    r"|CT SOM\w* PROT|FEUILLE DE DOSE|^DOSE$|^DOSIS$",
    "a screen capture": r"SCREEN ?(?:SAVE|SHOTS?|CAPTURES?|DUMP)|SNAPSHOTS?|SECONDARY CAPTURE"
    r"|CAPTURE (?:D )?ECRAN|CAPTURA(?: DE (?:PANTALLA|TELA|ECRA))?|SCHERMATA|BILDSCHIRM\w*"
    r"|SCHERMAFDRUK|SAVED? (?:IMAGE|SCREEN)S?|SCREENS?",
    "a maximum intensity projection": r"T?MIPS?|MAX(?:IMUM)? ?(?:INT\w* (?:PROJ\w*|PIX)|IP|PROJ\w*)"
    r"|MAXIMALINTENSIT\w*|INTENSIDAD MAXIMA|MAXIMALER INTENS\w*|INTENSITE MAXIMALE"
    r"|MASSIMA INTENSITA",
    "a minimum intensity projection": r"MIN ?IPS?|MNIPS?|MIN(?:IMUM)? ?(?:INT\w* PROJ\w*|PROJ\w*)"
    r"|MINIMALINTENSIT\w*|INTENSIDAD MINIMA|MINIMALER INTENS\w*|INTENSITE MINIMALE"
    r"|MINIMA INTENSITA",
    "a volume rendering": r"VRT|VR|SSD|VOLREN\w*|(?:VOLUME|SURFACE|3D) ?REND\w*|SHADED SURFACE\w*"
    r"|RENDU (?:DE )?VOLUM\w*|CURVED MPR|CPR",
    "a subtraction": r"SUBTR\w+|SUBST?RACT\w*|SUBSTRAC\w*|SUSTRAC\w*|SOUSTRA\w*|SOTTRA\w*|DSA"
    r"|BONE SUB|SUB BONE",
    "a virtual image of spectral CT": r"VNCA?|VUE|VIRTU\w+|MONO ?(?:E|ENER\w*|CHROM\w*|PLUS)"
    r"|MONO \d+|\d{2,3} ?KEV|KEV|VMI|VMC|GSI MONO",
    "an iodine or material map": r"(?<!SANS )(?<!SIN )(?<!OHNE )(?<!NO )(?<!WITHOUT )(?<!SENZA )"
    r"(?<!SEM )(?<!NON )(?<!AVEC )(?<!CON )(?<!MIT )(?<!WITH )(?<!COM )(?<!IV )(?<!W )(?<!O )"
    r"(?:IODINE?|IOD|JOD|YODO|IODE|IODIO|IODO|JOOD|JODKARTE\w*|JODBILD\w*|JODKARTA)(?! FREE)"
    r"|(?:MATERIAL|ELECTRON|CALCIUM|WATER|FAT|JOD) ?(?:DENSITY|DECOMP\w*|MAP|SPECIFIC|SUPPR\w*)"
    r"|MAT (?:SPECIFIC|REMOVED|FRACTIONAL|MODIFIED|VALUE BASED)|EFF(?:ECTIVE)? ATOMIC NUM\w*"
    r"|(?:EFF(?:ECTIVE)? )?Z ?EFF\w*|EFFECTIVE Z|RHO Z|IODMAPS?|CALSUP\w*|GSI MD",
    "a perfusion map": r"PERFU\w+|PERFUS\w*|R?CBF|R?CBV|MTT|TTP|TTD|T ?MAX|PENUMBRA\w*",
    "an average over time": r"T ?AVG|T ?AVERAGE|TEMPORAL (?:AVG|AVERAGE|MEAN|MIP)|TIME AVERAGED?",
}  # fmt: skip
_AS_TYPE: Final = {
    "a maximum intensity projection": r"MAXIMUM|PROJECTION(?: IMAGE)?",
    "a minimum intensity projection": r"MINIMUM",
    "a subtraction": r"SUB|SUBTRACT\w*|DIVISION|MULTIPLICATION",
    "a statistical map": r"STD DEVIATION|VARIANCE|QUANTITY|T TEST|Z SCORE",
    "a volume rendering": r"(?:VOLUME|SURFACE) RENDER\w*|CURVED MPR",
    "a dose report": r"PROT|DOSE",
}
_FOR: Final = r"(?<!\bFOR )(?<!\bFUR )(?<!\bPOUR )(?<!\bPARA )(?<!\bPER )(?<!\bVOOR )(?<!\bNO )"


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(rf"{_FOR}\b(?:{words})\b")


_DESCRIPTIONS: Final = {kind: _pattern(words) for kind, words in _KINDS.items()}
_TYPES: Final = {
    kind: _pattern("|".join(filter(None, (_KINDS.get(kind), _AS_TYPE.get(kind)))))
    for kind in (*_KINDS, "a statistical map")
}


def kind_of_type(value: str) -> str:
    """Return what a value of ImageType or FrameType says the image is; "" for a plain CT slice.

    Averages of neighbouring slices are plain CT: thick reformats are made so.
    """
    return _find(_TYPES, value)


def kind_of_description(text: str) -> str:
    """Return what a SeriesDescription says the image is; "" where it may be a plain CT slice."""
    return _find(_DESCRIPTIONS, text)


def _find(patterns: dict[str, re.Pattern[str]], text: str) -> str:
    words = plain(text)
    return next((kind for kind, pattern in patterns.items() if pattern.search(words)), "")
