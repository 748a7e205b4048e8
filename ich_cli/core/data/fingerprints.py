"""Hashes and pseudonyms by which slices and patients are matched across data sets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.errors import OutputError
from ich_cli.core.system import keyed_hash

_SOURCES: Final = {
    "rsna": "RSNA 2019", "dlmi": "RSNA 2019", "bhsd": "RSNA 2019", "mbh": "RSNA 2019",
    "hemseg": "RSNA 2019", "cq500": "CQ500", "seg-cq500": "CQ500", "bhx": "CQ500",
    "ct-ich": "CT-ICH", "instance": "INSTANCE 2022", "headct200": "headct200",
}  # fmt: skip
"""Source of `ich preprocess` → public data set that its patients are drawn from."""

_TITLES: Final = {
    "RSNA": "RSNA 2019", "BHSD": "RSNA 2019", "MBH": "RSNA 2019", "HemSeg": "RSNA 2019",
    "CQ500": "CQ500", "BHX": "CQ500", "CT-ICH": "CT-ICH", "INSTANCE": "INSTANCE 2022",
}  # fmt: skip
_RSNA: Final = re.compile(r"(ID_[0-9a-f]{8})(_ID_[0-9a-f]{10})?", re.ASCII)
_RSNA_STUDY: Final = re.compile(r"ID_[0-9a-f]{10}", re.ASCII)
_CQ500: Final = re.compile(r"CQ500[-_ ]?CT[-_ ]?0*(\d{1,3})(?: CQ500.*)?", re.ASCII)
_NUMBERED: Final = ("CT-ICH", "INSTANCE 2022")
"""Data sets that number their patients."""
_LEAST, _MOST = -(2**15), 2**15 - 1


def slice_hash(hu: NDArray[np.float32]) -> str:
    """Return a 64-bit hash of a slice's HU, as 16 hex digits; empty for a constant slice.

    It is the same for a slice that is flipped or turned by 90 degrees, as NIfTI stores it: hashed
    are the histogram and the sums of rows and columns, in an order that does not depend on
    orientation.

    Parameters
    ----------
    hu
        float32 ``(H, W)``, finite. It is rounded to int16 before.
    """
    values = np.rint(np.clip(hu, _LEAST, _MOST)).astype(np.int64)
    lowest = int(values.min())
    if lowest == int(values.max()):
        return ""  # slices of air are not copies of each other
    digest = hashlib.blake2b(str(lowest).encode(), digest_size=8)
    digest.update(np.bincount(values.ravel() - lowest).astype("<i8").tobytes())
    for side in sorted(_without_direction(values.sum(axis=axis)) for axis in (0, 1)):
        digest.update(side)
    return digest.hexdigest()


def _without_direction(sums: NDArray[np.int64]) -> bytes:
    forward, backward = sums.astype("<i8"), sums[::-1].astype("<i8")
    return min(forward.tobytes(), backward.tobytes())


def patient_pseudonym(key: str, kind: str, studies: Iterable[str] = ()) -> str:
    """Return the name by which a patient is recognised in other data sets.

    Parameters
    ----------
    key
        PatientID, or a public data set's name of the patient.
    kind
        Source of the data, as `ich preprocess` names it.
    studies
        The patient's studies, as in the index.

    Returns
    -------
    str
        ``RSNA 2019 ID_0a1b2c3d`` for a patient of a public data set; else a hash under the key of
        this machine, 16 hex digits, or empty where there is no key and none can be made.
    """
    public = _public_pseudonym(key, kind, studies)
    if public:
        return public
    try:
        return keyed_hash(f"patient {key}")
    except OutputError:
        return ""


def _public_pseudonym(key: str, kind: str, studies: Iterable[str]) -> str:
    source = _SOURCES.get(kind, "")
    rsna, cq500 = _RSNA.fullmatch(key), _CQ500.fullmatch(key)
    # a hospital may write ID_12345678, but not with RSNA's studies
    if rsna and (rsna[2] or source == "RSNA 2019" or any(map(_RSNA_STUDY.fullmatch, studies))):
        return f"RSNA 2019 {rsna[1]}"
    if cq500:
        return f"CQ500 {int(cq500[1])}"
    if source in _NUMBERED and key.isascii() and key.isdecimal():
        return f"{source} {int(key)}"
    return ""


def public_data_set(pseudonym: str) -> str:
    """Return the public data set of a pseudonym; empty for a patient of no public data set."""
    return next((one for one in {*_SOURCES.values()} if pseudonym.startswith(f"{one} ")), "")


def public_source(kind: str) -> str:
    """Return the public data set that a source's patients are drawn from; empty for others."""
    return _SOURCES.get(kind, "")


def public_sets_in(text: str) -> set[str]:
    """Return the public data sets that a description of training data names."""
    return {whole for name, whole in _TITLES.items() if name in text}
