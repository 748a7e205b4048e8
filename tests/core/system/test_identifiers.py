"""Identifiers in the place of UIDs: literal values, the key of the machine."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ich_cli.core.errors import OutputError, UsageError
from ich_cli.core.system import as_uid, derived_uid, identifier, identifiers

DERIVED = "2.25.85017579792697013313938294935597451630"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICH_ID_KEY", "0123456789abcdef0123456789abcdef")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", ""),
        ("1.2.840.113619.2", "1.2.840.113619.2"),
        ("ID_0002ca2f6", "ID_0002ca2f6"),
        ("DOE^JOHN", DERIVED),
    ],
)
def test_uids_and_pseudonyms_are_written_as_they_are(text: str, written: str) -> None:
    assert identifier(text) == written


def test_a_derived_uid_is_valid_and_depends_on_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.uid import UID

    assert UID(derived_uid("DOE^JOHN")).is_valid
    monkeypatch.setenv("ICH_ID_KEY", "another key of thirty-two letters")
    assert derived_uid("DOE^JOHN") != DERIVED


def test_dicom_objects_hold_no_pseudonym() -> None:
    assert as_uid("1.2.3") == "1.2.3"
    assert as_uid("ID_0002ca2f6") == derived_uid("ID_0002ca2f6")


def test_the_key_of_the_machine_is_made_once_for_the_user_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ICH_ID_KEY")
    monkeypatch.setattr(identifiers, "_config_folder", lambda: tmp_path / "config" / "ich")
    identifiers._machine_key.cache_clear()
    first = derived_uid("DOE^JOHN")
    identifiers._machine_key.cache_clear()
    assert derived_uid("DOE^JOHN") == first
    (key,) = (tmp_path / "config" / "ich").iterdir()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    identifiers._machine_key.cache_clear()


def test_without_a_key_the_message_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ICH_ID_KEY")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(identifiers, "_config_folder", lambda: tmp_path / "file")
    identifiers._machine_key.cache_clear()
    with pytest.raises(OutputError, match="set ICH_ID_KEY"):
        derived_uid("DOE^JOHN")


def test_a_short_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICH_ID_KEY", "short")
    with pytest.raises(UsageError, match="ICH_ID_KEY: a key has 32 characters or more"):
        derived_uid("DOE^JOHN")
