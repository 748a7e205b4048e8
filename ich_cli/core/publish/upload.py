"""Upload files to the Hugging Face Hub in one commit, or none if nothing changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from ich_cli._version import __version__
from ich_cli.core.bundle import CONFLICT, retrying, status_of, translate_hub_errors
from ich_cli.core.errors import HubError
from ich_cli.core.publish.collect import Upload, is_published_path

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Kind = Literal["model", "space"]

_VERSION: Final = re.compile(r"v(\d+)")


@dataclass(frozen=True)
class PushResult:
    """State of the repository after a push."""

    repo: str
    commit: str
    url: str
    changed: tuple[str, ...]
    """Files of the commit; empty if nothing changed."""
    private: bool
    tag: str = ""
    """Tag of this commit, new or existing; empty if there is none."""


@dataclass(frozen=True)
class RepoState:
    """State of a repository as it was read."""

    private: bool
    head: str
    tags: Mapping[str, str]
    files: Mapping[str, str]
    """Path → SHA-256 of a large file, or git's SHA-1 of a small file."""

    def tag_of(self, commit: str) -> str:
        """Return a tag of a commit; empty if there is none."""
        return next((tag for tag, target in sorted(self.tags.items()) if target == commit), "")


def push(
    files: Sequence[Upload],
    repo: str,
    *,
    private: bool = False,
    branch: str = "main",
    message: str = "",
    tag: str | None = None,
) -> PushResult:
    """Publish a bundle's files as a model.

    Parameters
    ----------
    files
        Files of `collect_files`.
    repo
        ``owner/name``; created if it does not exist.
    private
        A new repository is private; an existing public one is refused.
    branch
        Target branch; created if it does not exist.
    message
        Commit message.
    tag
        Tag of this version; by default the next of v1, v2 … on main, none on other branches.

    Raises
    ------
    HubError
        No token, no access, an existing tag, a concurrent commit, no network.
    """
    with translate_hub_errors(repo):
        api = connect()
        ensure_repo(api, repo, "model", private=private)
        before = read_repo_state(api, repo, "model", branch)
        taken = before.tags.get(tag or "")
        if taken and (taken != before.head or _operations(files, before.files, is_published_path)):
            raise HubError(f"{repo}: the tag {tag} already refers to {taken[:12]}; choose another")
        done = commit(
            api, files, repo, "model", before, branch=branch, message=message, own=is_published_path
        )
        return replace(done, tag=_tag(api, done, before, tag, branch))


def connect() -> HfApi:
    """Return the Hub's client; raise HubError if it is offline or has no token."""
    from huggingface_hub import HfApi, get_token, is_offline_mode

    if is_offline_mode():
        raise HubError("cannot publish while HF_HUB_OFFLINE is set")
    if not get_token():
        raise HubError(
            "publishing needs a token with write access: run `hf auth login`, or set HF_TOKEN"
        )
    return HfApi(library_name="ich", library_version=__version__)


def ensure_repo(api: HfApi, repo: str, kind: Kind, *, private: bool, **settings: Any) -> None:
    """Create the repository unless it exists."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = retrying(lambda: api.repo_info(repo, repo_type=kind))
    except RepositoryNotFoundError:
        retrying(
            lambda: api.create_repo(
                repo, repo_type=kind, private=private, exist_ok=True, **settings
            )
        )
        return
    if private and not info.private:
        raise HubError(f"{repo}: is public; make it private in its settings, or drop --private")


def commit(
    api: HfApi,
    files: Sequence[Upload],
    repo: str,
    kind: Kind,
    before: RepoState,
    *,
    branch: str,
    message: str,
    own: Callable[[str], bool],
) -> PushResult:
    """Commit the files that differ from `before`.

    Files in the repository for which `own` is true and that are not in `files` are deleted.
    """
    from huggingface_hub.errors import HfHubHTTPError

    operations = _operations(files, before.files, own)
    done = PushResult(repo, before.head, _url(api, repo, kind), (), before.private)
    if not operations:
        return done
    try:
        made = retrying(
            lambda: api.create_commit(
                repo, _operations(files, before.files, own), repo_type=kind, revision=branch,
                parent_commit=before.head, commit_message=message or "Publish with ich",
            )
        )  # fmt: skip
    except HfHubHTTPError as error:
        if status_of(error) not in CONFLICT:
            raise
        now = read_repo_state(api, repo, kind, branch)
        if not _operations(files, now.files, own):  # same files: pushed elsewhere, or
            return replace(done, commit=now.head)  # by a request whose response was lost
        raise HubError(
            f"{repo}: another commit was pushed in the meantime ({now.head[:12]}); check it, then "
            "push again"
        ) from error
    return replace(done, commit=made.oid, changed=tuple(one.path_in_repo for one in operations))


def read_repo_state(api: HfApi, repo: str, kind: Kind, branch: str = "main") -> RepoState:
    """Read the state of a repository; create the branch if it does not exist."""
    from huggingface_hub import RepoFile

    refs = retrying(lambda: api.list_repo_refs(repo, repo_type=kind))
    heads = {one.name: one.target_commit for one in refs.branches}
    if branch not in heads:
        retrying(lambda: api.create_branch(repo, branch=branch, repo_type=kind, exist_ok=True))
        return read_repo_state(api, repo, kind, branch)
    tree = retrying(
        lambda: list(
            api.list_repo_tree(repo, recursive=True, revision=heads[branch], repo_type=kind)
        )
    )
    return RepoState(
        private=bool(retrying(lambda: api.repo_info(repo, repo_type=kind)).private),
        head=heads[branch],
        tags={one.name: one.target_commit for one in refs.tags},
        files={
            one.path: one.lfs.sha256 if one.lfs else one.blob_id
            for one in tree
            if isinstance(one, RepoFile)
        },
    )


def _operations(
    files: Sequence[Upload], there: Mapping[str, str], own: Callable[[str], bool]
) -> list[Any]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    changed = [one for one in files if there.get(one.path) not in (one.sha256, one.git_sha1)]
    stale = sorted({path for path in there if own(path)} - {one.path for one in files})
    return [
        *(CommitOperationAdd(one.path, one.content) for one in changed),
        *(CommitOperationDelete(path, is_folder=False) for path in stale),
    ]


def _tag(api: HfApi, done: PushResult, before: RepoState, tag: str | None, branch: str) -> str:
    """Tag the version, unless it has a tag, and return the tag."""
    from huggingface_hub.errors import HfHubHTTPError

    known = before.tag_of(done.commit)
    if (known and tag in (None, known)) or (tag is None and branch != "main"):
        return known
    numbers = [int(m[1]) for m in map(_VERSION.fullmatch, before.tags) if m]
    following = max(numbers, default=0) + 1
    for name in [tag] if tag else [f"v{number}" for number in range(following, following + 8)]:
        try:
            retrying(lambda name=name: api.create_tag(done.repo, tag=name, revision=done.commit))  # type: ignore[misc]
        except HfHubHTTPError as error:
            if status_of(error) not in CONFLICT:
                raise
            continue  # created since the tags were read
        return name
    raise HubError(f"{done.repo}: published as {done.commit[:12]}, but the tag exists already")


def _url(api: HfApi, repo: str, kind: Kind) -> str:
    return f"{api.endpoint}/{'spaces/' if kind == 'space' else ''}{repo}"
