"""Put files into a repository on the Hugging Face Hub: one commit, or none if nothing changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from ich_cli._version import __version__
from ich_cli.core.bundle import CONFLICT, patiently, status_of, telling
from ich_cli.core.errors import HubError
from ich_cli.core.publish.collect import Upload, is_own

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Kind = Literal["model", "space"]

_VERSION: Final = re.compile(r"v(\d+)")


@dataclass(frozen=True)
class Pushed:
    """What stands on the Hub after a push."""

    repo: str
    commit: str
    url: str
    changed: tuple[str, ...]
    """Files of the commit; empty where everything stood there already."""
    private: bool
    tag: str = ""
    """The version's tag, new or old."""


@dataclass(frozen=True)
class Standing:
    """A repository as it was read."""

    private: bool
    head: str
    tags: Mapping[str, str]
    files: Mapping[str, str]
    """Path → sha256 of a large file, git's sha1 of a small one."""

    def tag_of(self, commit: str) -> str:
        """Return a tag of a commit, empty where it has none."""
        return next((tag for tag, target in sorted(self.tags.items()) if target == commit), "")


def push(
    files: Sequence[Upload],
    repo: str,
    *,
    private: bool = False,
    branch: str = "main",
    message: str = "",
    tag: str | None = None,
) -> Pushed:
    """Publish a bundle's files as a model.

    Parameters
    ----------
    files
        As `gather` gave them.
    repo
        ``owner/name``; made if there is none.
    private
        Of a new repository; one that is public already is refused.
    branch
        Where to; made if there is none.
    message
        Of the commit.
    tag
        Name of this version; without one the next of v1, v2 … on main, none on other branches.

    Raises
    ------
    HubError
        No token, no access, a taken tag, somebody else's commit in between, no network.
    """
    with telling(repo):
        api = connect()
        ensure(api, repo, "model", private=private)
        before = stand(api, repo, "model", branch)
        taken = before.tags.get(tag or "")
        if taken and (taken != before.head or _operations(files, before.files, is_own)):
            raise HubError(f"{repo}: the tag {tag} is taken by {taken[:12]}; choose another")
        done = commit(api, files, repo, "model", before, branch=branch, message=message, own=is_own)
        return replace(done, tag=_tagged(api, done, before, tag, branch))


def connect() -> HfApi:
    """Return the Hub's client; HubError where there is no token to publish with."""
    from huggingface_hub import HfApi, get_token, is_offline_mode

    if is_offline_mode():
        raise HubError("HF_HUB_OFFLINE is set: nothing can be published")
    if not get_token():
        raise HubError(
            "publishing needs a token with write access: `hf auth login`, or set HF_TOKEN"
        )
    return HfApi(library_name="ich", library_version=__version__)


def ensure(api: HfApi, repo: str, kind: Kind, *, private: bool, **settings: Any) -> None:
    """Make the repository unless there is one."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = patiently(lambda: api.repo_info(repo, repo_type=kind))
    except RepositoryNotFoundError:
        patiently(
            lambda: api.create_repo(
                repo, repo_type=kind, private=private, exist_ok=True, **settings
            )
        )
        return
    if private and not info.private:
        raise HubError(f"{repo}: is public already; make it private in its settings, or drop it")


def commit(
    api: HfApi,
    files: Sequence[Upload],
    repo: str,
    kind: Kind,
    before: Standing,
    *,
    branch: str,
    message: str,
    own: Callable[[str], bool],
) -> Pushed:
    """Make one commit of what differs, on top of what was read.

    A file that `own` knows and that is not among `files` goes; others stay.
    """
    from huggingface_hub.errors import HfHubHTTPError

    operations = _operations(files, before.files, own)
    done = Pushed(repo, before.head, _url(api, repo, kind), (), before.private)
    if not operations:
        return done
    try:
        made = patiently(
            lambda: api.create_commit(
                repo, _operations(files, before.files, own), repo_type=kind, revision=branch,
                parent_commit=before.head, commit_message=message or "Publish with ich",
            )
        )  # fmt: skip
    except HfHubHTTPError as error:
        if status_of(error) not in CONFLICT:
            raise
        now = stand(api, repo, kind, branch)
        if not _operations(files, now.files, own):  # the same came from elsewhere, or before an
            return replace(done, commit=now.head)  # answer that was lost
        raise HubError(
            f"{repo}: somebody else published there in between ({now.head[:12]}); look at it, "
            "then push again"
        ) from error
    return replace(done, commit=made.oid, changed=tuple(one.path_in_repo for one in operations))


def stand(api: HfApi, repo: str, kind: Kind, branch: str = "main") -> Standing:
    """Read what stands in a repository; a branch that is not there is made."""
    from huggingface_hub import RepoFile

    refs = patiently(lambda: api.list_repo_refs(repo, repo_type=kind))
    heads = {one.name: one.target_commit for one in refs.branches}
    if branch not in heads:
        patiently(lambda: api.create_branch(repo, branch=branch, repo_type=kind, exist_ok=True))
        return stand(api, repo, kind, branch)
    tree = patiently(
        lambda: list(
            api.list_repo_tree(repo, recursive=True, revision=heads[branch], repo_type=kind)
        )
    )
    return Standing(
        private=bool(patiently(lambda: api.repo_info(repo, repo_type=kind)).private),
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


def _tagged(api: HfApi, done: Pushed, before: Standing, tag: str | None, branch: str) -> str:
    """Give the version its tag, unless it has one, and return it."""
    from huggingface_hub.errors import HfHubHTTPError

    known = before.tag_of(done.commit)
    if (known and tag in (None, known)) or (tag is None and branch != "main"):
        return known
    numbers = [int(m[1]) for m in map(_VERSION.fullmatch, before.tags) if m]
    following = max(numbers, default=0) + 1
    for name in [tag] if tag else [f"v{number}" for number in range(following, following + 8)]:
        try:
            patiently(lambda name=name: api.create_tag(done.repo, tag=name, revision=done.commit))  # type: ignore[misc]
        except HfHubHTTPError as error:
            if status_of(error) not in CONFLICT:
                raise
            continue  # taken since they were read
        return name
    raise HubError(f"{done.repo}: published as {done.commit[:12]}, but the tag is taken")


def _url(api: HfApi, repo: str, kind: Kind) -> str:
    return f"{api.endpoint}/{'spaces/' if kind == 'space' else ''}{repo}"
