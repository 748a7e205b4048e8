"""Tests of users and passwords, and of bundle names."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradio_app.auth import load_bundles, parse_auth
from ich_cli.core.errors import UsageError


def test_users_come_from_options_and_files(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("# readers\nann:se:cret\n\n bob:x \n", "utf-8")

    found = parse_auth(["eve:pass", f"@{users}"])

    assert found == [("eve", "pass"), ("ann", "se:cret"), ("bob", "x")]


@pytest.mark.parametrize("given", ["secret", ":secret", "secret:", ""])
def test_malformed_pair_is_refused_without_quoting_it(given: str) -> None:
    with pytest.raises(UsageError, match=r"^--auth: user:password expected$") as caught:
        parse_auth([given])
    assert "secret" not in str(caught.value)


def test_missing_or_malformed_user_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing: cannot be read"):
        parse_auth([f"@{tmp_path}/missing"])
    (tmp_path / "users").write_text("secret", "utf-8")
    with pytest.raises(UsageError, match=r"a line of .*users: user:password expected"):
        parse_auth([f"@{tmp_path}/users"])


def test_bundles_are_named_by_their_folders(tiny_bundle: Path, other_bundle: Path) -> None:
    given = [str(tiny_bundle), str(other_bundle), str(tiny_bundle)]
    assert list(load_bundles(given, "cpu")) == ["tiny", "other", "tiny (2)"]
