"""Record of the slices and patients that weights learned from, without identifiers of patients.

Slices are named by 64-bit hashes of their pixels; more than 100,000 of them by a Bloom filter of
1 MB (Bloom, CACM 1970). Patients are named where a public data set gave them a pseudonym, and else
counted.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.errors import BundleError
from ich_cli.core.system import require, require_keys

MOST_HASHES: Final = 100_000
FILTER_BYTES: Final = 1_000_000
_BITS: Final = 8 * FILTER_BYTES
_PROBES: Final = 7  # bits of a slice; near the optimum for RSNA 2019's 750,000 slices
_KEYS: Final = ("sets", "patients", "other_patients", "slices", "complete", "hashes", "filter")

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class LearnedFrom:
    """Data that weights learned from."""

    sets: tuple[str, ...] = ()
    """Names of public data sets, sorted."""
    patients: tuple[str, ...] = ()
    """Pseudonyms of public data sets' patients, sorted."""
    other_patients: int = 0
    """Number of patients of other data."""
    slices: int = 0
    """Number of different slices; at least, where `filter` is used."""
    hashes: bytes = b""
    """Sorted hashes of the slices, 8 bytes each, big-endian."""
    filter: bytes = b""
    """Bloom filter of the hashes in place of `hashes`; empty, or `FILTER_BYTES` long."""
    complete: bool = True
    """False where some of the data is not known."""

    @classmethod
    def from_hashes(cls, hashes: Iterable[str], **fields: Any) -> LearnedFrom:
        """Return a record with the hashes, 16 hex digits each; empty ones are left out."""
        numbers = np.unique(to_numbers([one for one in hashes if one]))
        return cls(slices=numbers.size, hashes=_to_bytes(numbers), **fields)._limited()

    def contains(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Return which hashes are recorded, bool ``(N,)``.

        A filter finds all of them, and `chance_of_error` of the others.
        """
        if not self.filter:
            return np.isin(hashes, self._numbers)
        bits = np.frombuffer(self.filter, np.uint8)
        where = _positions(hashes)
        return np.asarray((bits[where >> 3] >> (where & 7) & 1).all(axis=1))

    @property
    def chance_of_error(self) -> float:
        """Chance that a slice that is not recorded is found; 0 without a filter."""
        if not self.filter:
            return 0.0
        return float(np.unpackbits(np.frombuffer(self.filter, np.uint8)).mean() ** _PROBES)

    def union(self, other: LearnedFrom | None) -> LearnedFrom:
        """Return the record of weights that learned from both; None stands for unknown data."""
        if other is None:
            other = LearnedFrom(complete=False)
        hashes, bits = b"", b""
        if self.filter or other.filter:
            bits = _merge(self._as_filter(), other._as_filter())
            slices = max(self.slices, other.slices)
        else:
            numbers = np.union1d(self._numbers, other._numbers)
            hashes, slices = _to_bytes(numbers), numbers.size
        return LearnedFrom(
            tuple(sorted({*self.sets, *other.sets})),
            tuple(sorted({*self.patients, *other.patients})),
            max(self.other_patients, other.other_patients), slices, hashes, bits,
            self.complete and other.complete,
        )._limited()  # fmt: skip

    @property
    def _numbers(self) -> Hashes:
        return np.frombuffer(self.hashes, ">u8").astype(np.uint64)

    def _limited(self) -> LearnedFrom:
        """Return the record with a filter in place of too many hashes."""
        if len(self.hashes) <= 8 * MOST_HASHES:
            return self
        return LearnedFrom(
            self.sets, self.patients, self.other_patients, self.slices, b"", self._as_filter(),
            self.complete,
        )  # fmt: skip

    def _as_filter(self) -> bytes:
        if self.filter:
            return self.filter
        where = _positions(self._numbers).ravel()
        bits = np.zeros(_BITS, np.uint8)
        bits[where] = 1
        return np.packbits(bits, bitorder="little").tobytes()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; binary parts as URL-safe base64."""
        binary = "filter" if self.filter else "hashes"
        return {
            "sets": list(self.sets),
            "patients": list(self.patients),
            "other_patients": self.other_patients,
            "slices": self.slices,
            "complete": self.complete,
            binary: base64.urlsafe_b64encode(self.filter or self.hashes).decode(),
        }

    @classmethod
    def from_dict(cls, values: Any) -> LearnedFrom:
        """Read what `to_dict` wrote.

        Raises
        ------
        BundleError
            Names the key that is missing, unknown or invalid.
        """
        where = "ich.learned_from"
        require(isinstance(values, dict), f"{where} must be an object", BundleError)
        binary = "filter" if "filter" in values else "hashes"
        require_keys(values, (*_KEYS[:5], binary), prefix=f"{where}.")
        for name in ("sets", "patients"):
            listed = isinstance(values[name], list) and all(type(v) is str for v in values[name])
            require(listed, f"{where}.{name} must be a list of texts", BundleError)
        for name in ("other_patients", "slices"):
            whole = type(values[name]) is int and values[name] >= 0
            require(whole, f"{where}.{name} must be a whole number", BundleError)
        boolean = isinstance(values["complete"], bool)
        require(boolean, f"{where}.complete must be true or false", BundleError)
        data = _decode(values[binary], f"{where}.{binary}")
        fits = len(data) == FILTER_BYTES if binary == "filter" else (
            len(data) == 8 * values["slices"] <= 8 * MOST_HASHES
        )  # fmt: skip
        require(fits, f"{where}.{binary} has a wrong length", BundleError)
        return cls(
            tuple(values["sets"]), tuple(values["patients"]), values["other_patients"],
            values["slices"], complete=values["complete"], **{binary: data},
        )  # fmt: skip


def to_numbers(hashes: Iterable[str]) -> Hashes:
    """Return hashes of 16 hex digits as numbers, uint64 ``(N,)``."""
    return np.array([int(one, 16) for one in hashes], np.uint64)


def _to_bytes(numbers: Hashes) -> bytes:
    return numbers.astype(">u8").tobytes()


def _positions(hashes: Hashes) -> NDArray[np.int64]:
    """Return the bits of each hash, int64 ``(N, 7)``: double hashing by its two halves."""
    low, high = hashes & np.uint64(0xFFFFFFFF), hashes >> np.uint64(32) | np.uint64(1)
    steps = np.arange(_PROBES, dtype=np.uint64)
    return ((low[:, None] + steps * high[:, None]) % np.uint64(_BITS)).astype(np.int64)


def _merge(one: bytes, other: bytes) -> bytes:
    return (np.frombuffer(one, np.uint8) | np.frombuffer(other, np.uint8)).tobytes()


def _decode(text: Any, name: str) -> bytes:
    try:
        return base64.b64decode(text, altchars=b"-_", validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise BundleError(f"{name} is not URL-safe base64") from None
