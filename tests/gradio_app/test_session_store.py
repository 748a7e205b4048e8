"""SessionStore: private folders, reached by token, gone when they end or in an hour."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradio_app.session_store import MAX_FILES, SessionStore
from ich_cli.core.dicom import Limits
from ich_cli.core.errors import IchError, NothingFoundError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    (tmp_path / "uploads").mkdir()
    return tmp_path / "uploads"


@pytest.fixture
def sessions(tmp_path: Path, uploads: Path, clock: Clock) -> Iterator[SessionStore]:
    made = SessionStore(tmp_path / "studies", uploads, Limits(), clock=clock)
    yield made
    made.close()


def uploaded(uploads: Path, name: str = "page-1", content: bytes = b"x") -> str:
    folder = uploads / f"hash-{name}"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return str(folder / name)


def test_files_move_into_a_private_folder_under_numbers(
    sessions: SessionStore, uploads: Path
) -> None:
    given = [uploaded(uploads, "page-1"), uploaded(uploads, "page-2")]

    study = sessions.open("me", given)

    assert [path.name for path in study.paths] == ["00001", "00002"]
    assert study.folder.stat().st_mode & 0o777 == 0o700
    assert not any(Path(path).exists() for path in given)
    assert study.folder.is_relative_to(uploads.parent / "studies")


def test_study_is_found_only_by_its_token(sessions: SessionStore, uploads: Path) -> None:
    study = sessions.open("me", [uploaded(uploads)])

    assert sessions.get(study.token) is study
    for other in ("", "me", study.token[:-1], None, 7, [study.token]):
        with pytest.raises(IchError, match="this study is no longer here; open it again"):
            sessions.get(other)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "uploads/../secret", "../secret", "", ".", "uploads/missing", "uploads"]
)
def test_paths_outside_the_uploads_are_refused(
    path: str, sessions: SessionStore, tmp_path: Path, uploads: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    for given in (path, str(tmp_path / path)):
        with pytest.raises(IchError, match="the upload is no longer there; upload it again"):
            sessions.open("me", [given])
    assert (tmp_path / "secret").exists()


def test_link_out_of_the_uploads_is_not_followed(
    sessions: SessionStore, tmp_path: Path, uploads: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (uploads / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(IchError, match="no longer there"):
        sessions.open("me", [str(uploads / "link")])


def test_no_file_and_too_many_files_are_refused(sessions: SessionStore, uploads: Path) -> None:
    with pytest.raises(NothingFoundError, match="no file was chosen"):
        sessions.open("me", [])
    with pytest.raises(IchError, match=f"{MAX_FILES + 1} files; at most {MAX_FILES} at once"):
        sessions.open("me", ["x"] * (MAX_FILES + 1))


def test_end_of_a_session_deletes_only_its_own_files(sessions: SessionStore, uploads: Path) -> None:
    mine = sessions.open("me", [uploaded(uploads, "page-1")])
    other = sessions.open("other", [uploaded(uploads, "page-2")])

    sessions.end("me")

    assert not mine.folder.exists()
    assert other.paths[0].read_bytes() == b"x"
    with pytest.raises(IchError):
        sessions.get(mine.token)


def test_new_study_of_an_owner_closes_the_old_one(sessions: SessionStore, uploads: Path) -> None:
    first = sessions.open("me", [uploaded(uploads, "page-1")])
    second = sessions.open("me", [uploaded(uploads, "page-2")])

    assert not first.folder.exists()
    assert second.folder.exists()
    assert len(sessions) == 1


def test_study_is_deleted_after_an_hour_without_use(
    sessions: SessionStore, uploads: Path, clock: Clock
) -> None:
    idle = sessions.open("idle", [uploaded(uploads, "page-1")])
    used = sessions.open("used", [uploaded(uploads, "page-2")])
    example = sessions.add("", sessions.new_folder(), [], shared=True)

    clock.now = 3000.0
    sessions.get(used.token)
    clock.now = 3700.0
    sessions.remove_stale()

    assert not idle.folder.exists()
    assert used.folder.exists()
    assert example.folder.exists()


def test_equal_uploads_of_two_programs_are_independent(
    sessions: SessionStore, uploads: Path
) -> None:
    path = uploaded(uploads, "scan.dcm", b"same")  # the server puts both at the same place

    first = sessions.open("one", [path])
    second = sessions.open("two", [path])
    sessions.end("one")

    assert second.paths[0].read_bytes() == b"same"
    assert first.token != second.token


def test_unused_uploads_are_deleted(sessions: SessionStore, uploads: Path) -> None:
    claimed, waiting = uploaded(uploads, "scan.dcm"), uploaded(uploads, "page-1")
    old, fresh = uploaded(uploads, "page-2"), uploaded(uploads, "page-3")
    sessions.open("one", [claimed])
    now = Path(fresh).stat().st_mtime
    os.utime(claimed, (now - 130, now - 130))
    os.utime(waiting, (now - 130, now - 130))
    os.utime(old, (now - 3700, now - 3700))

    sessions.remove_stale()

    assert [Path(path).exists() for path in (claimed, waiting, old, fresh)] == [
        False,
        True,
        False,
        True,
    ]
