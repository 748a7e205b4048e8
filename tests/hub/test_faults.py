"""Network failures during pull and push."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

import pytest
from huggingface_hub import constants

from ich_cli.core.bundle import fetch, load_bundle
from ich_cli.core.errors import HubError
from ich_cli.core.publish import PushResult, Upload, collect_files, push
from tests.hub.conftest import bundle_files
from tests.hub.server import Hub

REPO = "owner/name"
Files = tuple[Upload, ...]


@pytest.fixture
def published(hub: Hub, tiny_bundle: Path) -> Hub:
    hub.publish(REPO, bundle_files(tiny_bundle))
    return hub


@pytest.fixture(scope="module")
def files(tiny_bundle: Path) -> Files:
    return collect_files(tiny_bundle, REPO).files


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce the client's chunk size of 10 MB, which is too large for a tiny bundle."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 250)


def ranges(hub: Hub) -> list[str | None]:
    return [one.headers.get("Range") for one in hub.requests("GET", "/storage/")]


@pytest.mark.usefixtures("small_pieces")
def test_an_interrupted_download_is_resumed(published: Hub, waits: list[float]) -> None:
    published.fault("GET", "/storage/", cut_after=1000)
    published.fault("GET", "/storage/", cut_after=500)
    load_bundle(fetch(REPO))
    assert ranges(published) == [None, "bytes=1000-", "bytes=1500-"]


@pytest.mark.usefixtures("small_pieces")
def test_a_stalled_download_is_resumed(
    published: Hub, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    published.fault("GET", "/storage/", stall_after=1000)
    load_bundle(fetch(REPO))
    assert ranges(published) == [None, "bytes=1000-"]


def test_a_download_that_always_fails_is_an_error(published: Hub, waits: list[float]) -> None:
    published.fault("GET", "/storage/", cut_after=0, times=100)
    with pytest.raises(HubError, match=r"owner/name: the connection failed .*try again"):
        fetch(REPO)
    published.faults.clear()
    load_bundle(fetch(REPO))  # nothing that was left blocks the next attempt


def test_a_damaged_download_is_repeated(published: Hub) -> None:
    published.fault("GET", "/storage/", flip=True)
    load_bundle(fetch(REPO))
    assert ranges(published) == [None, None]


def test_a_twice_damaged_download_is_deleted(published: Hub) -> None:
    published.fault("GET", "/storage/", flip=True, times=2)
    with pytest.raises(HubError, match=r"damaged twice during download"):
        fetch(REPO)
    load_bundle(fetch(REPO))


def test_a_damaged_file_in_the_cache(published: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = fetch(REPO) / "model.safetensors"
    data = weights.read_bytes()
    weights.resolve().write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="is damaged in the cache; download it again while online"):
        fetch(REPO)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert (fetch(REPO) / "model.safetensors").read_bytes() == data


@pytest.mark.parametrize(
    ("method", "path", "status", "waited"),
    [
        ("HEAD", "/resolve/", 429, []),  # the client checks its cache and requests once more
        ("HEAD", "/resolve/", 503, []),
        ("GET", "/resolve/", 429, [8.0]),  # it adds a second
        ("GET", "/resolve/", 503, [7.0]),
        ("GET", "/storage/", 429, [8.0]),
        ("GET", "/storage/", 503, [7.0]),
    ],
)
def test_a_busy_hub_is_retried(
    published: Hub, waits: list[float], method: str, path: str, status: int, waited: list[float]
) -> None:
    published.fault(method, path, status=status, headers={"Retry-After": "7"})
    load_bundle(fetch(REPO))
    assert waits == waited


def test_a_hub_that_keeps_failing_is_an_error(published: Hub, waits: list[float]) -> None:
    published.fault("HEAD", "/resolve/", status=503, times=100)
    with pytest.raises(HubError, match="owner/name: the Hub returned HTTP status 503"):
        fetch(REPO)


def test_a_cached_bundle_is_used_while_the_hub_fails(published: Hub) -> None:
    folder = fetch(REPO)
    published.fault("HEAD", "/resolve/", status=503, times=100)
    assert fetch(REPO) == folder


def test_connection_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    for name, value in (
        ("ENDPOINT", "http://127.0.0.1:9"),
        ("HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"),
    ):  # fmt: skip
        monkeypatch.setattr(constants, name, value)
    with pytest.raises(HubError, match="not in the cache, and the Hub cannot be reached"):
        fetch(REPO)


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/models/owner/name$"),
        ("POST", "/api/repos/create"),
        ("GET", "/refs$"),
        ("GET", "/tree/"),
        ("POST", "/preupload/"),
        ("POST", "/objects/batch"),
        ("PUT", "/upload/"),
        ("POST", "/verify"),
        ("POST", "/commit/"),
        ("POST", "/tag/"),
    ],
)
def test_every_step_of_a_push_is_retried(
    hub: Hub, files: Files, waits: list[float], method: str, path: str, status: int
) -> None:
    hub.fault(method, path, status=status, times=2)
    done = push(files, REPO)
    assert waits == [1.0, 2.0]
    assert len(hub.model(REPO).commits) == 2
    assert hub.model(REPO).tags == {"v1": done.commit}


def test_a_push_honours_retry_after(hub: Hub, files: Files, waits: list[float]) -> None:
    hub.fault("POST", "/commit/", status=429, headers={"Retry-After": "7"})
    hub.fault("POST", "/tag/", status=429, headers={"Retry-After": "3600"})
    push(files, REPO)
    assert waits == [7.0, 60.0]


def test_a_push_that_keeps_failing_is_an_error(hub: Hub, files: Files, waits: list[float]) -> None:
    hub.fault("POST", "/commit/", status=503, times=100)
    with pytest.raises(HubError, match="owner/name: the Hub returned HTTP status 503"):
        push(files, REPO)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert len(hub.model(REPO).commits) == 1


def test_an_interrupted_upload_is_repeated(hub: Hub, files: Files, waits: list[float]) -> None:
    hub.fault("PUT", "/upload/", cut_after=0)
    push(files, REPO)
    weights = next(one for one in files if one.path == "model.safetensors")
    assert (
        hub.model(REPO).head.files["model.safetensors"].data
        == Path(str(weights.content)).read_bytes()
    )


def test_an_upload_rejected_by_the_storage(hub: Hub, files: Files, waits: list[float]) -> None:
    hub.fault("PUT", "/upload/", status=403, times=100)
    with pytest.raises(HubError, match="owner/name: permission denied"):
        push(files, REPO)
    assert len(hub.model(REPO).commits) == 1


def test_a_commit_whose_response_is_lost_is_not_repeated(
    hub: Hub, files: Files, waits: list[float]
) -> None:
    hub.fault("POST", "/commit/", cut_after=0)
    with pytest.raises(HubError, match="the connection failed"):
        push(files, REPO)
    done = push(files, REPO)
    assert done.changed == ()
    assert done.tag == "v1"
    assert len(hub.model(REPO).commits) == 2


def test_a_failed_xet_upload_names_the_variable_that_disables_it(
    hub: Hub, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    with pytest.raises(HubError, match="HF_HUB_DISABLE_XET=1"):
        push(files, REPO)


def at_once(*pushes: Callable[[], PushResult]) -> list[PushResult | HubError]:
    """Run pushes in threads and return the result or error of each."""
    came: list[PushResult | HubError] = [HubError("never ended")] * len(pushes)

    def run(index: int) -> None:
        try:
            came[index] = pushes[index]()
        except HubError as error:
            came[index] = error

    threads = [Thread(target=run, args=(index,)) for index in range(len(pushes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return came


def test_concurrent_pushes_of_different_files(hub: Hub, files: Files, tiny_bundle: Path) -> None:
    push(files, REPO)
    both = Barrier(2)
    hub.fault("POST", "/preupload/", times=2, before=lambda: both.wait(20))  # both have read
    mine, theirs = (
        collect_files(tiny_bundle, REPO, license=one).files for one in ("mit", "cc-by-4.0")
    )
    came = at_once(lambda: push(mine, REPO), lambda: push(theirs, REPO))
    won = [one for one in came if isinstance(one, PushResult)]
    lost = [str(one) for one in came if isinstance(one, HubError)]
    assert len(won) == len(lost) == 1
    assert f"another commit was pushed in the meantime ({won[0].commit[:12]})" in lost[0]
    assert hub.model(REPO).tags["v2"] == won[0].commit
    assert len(hub.model(REPO).commits) == 3


def test_concurrent_pushes_of_the_same_files(hub: Hub, files: Files, tiny_bundle: Path) -> None:
    push(collect_files(tiny_bundle, REPO, license="mit").files, REPO)
    both = Barrier(2)
    hub.fault("POST", "/preupload/", times=2, before=lambda: both.wait(20))
    came = at_once(lambda: push(files, REPO), lambda: push(files, REPO))
    assert [type(one) for one in came] == [PushResult, PushResult], came
    assert {one.commit for one in came if isinstance(one, PushResult)} == {hub.model(REPO).head.oid}
    assert len(hub.model(REPO).commits) == 3
