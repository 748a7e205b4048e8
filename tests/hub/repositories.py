"""Repositories of the test Hub: commits, branches, tags and variables."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

LFS_ENDINGS = (".safetensors", ".bin", ".png")


@dataclass(frozen=True)
class Blob:
    data: bytes
    is_lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def pointer(self) -> bytes:
        """Pointer that git stores for a large file."""
        head = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}"
        return f"{head}\nsize {len(self.data)}\n".encode()

    @property
    def oid(self) -> str:
        """Git's checksum; for a large file, that of its pointer."""
        content = self.pointer if self.is_lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.oid


@dataclass(frozen=True)
class Commit:
    oid: str
    files: dict[str, Blob]
    message: str


@dataclass
class Repository:
    private: bool = False
    gated: bool = False
    sdk: str | None = None
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.branches["main"] = ""
        self.commit("main", {".gitattributes": Blob(b"*.safetensors filter=lfs\n", False)}, [])

    def commit(
        self,
        branch: str,
        added: dict[str, Blob],
        deleted: list[str],
        message: str = "initial commit",
    ) -> Commit:
        before = self.commits.get(self.branches[branch])
        files = {**(before.files if before else {}), **added}
        for path in deleted:
            del files[path]
        made = Commit(hashlib.sha1(f"{id(self)} {len(self.commits)}".encode()).hexdigest(), files,
                      message)  # fmt: skip
        self.commits[made.oid] = made
        self.branches[branch] = made.oid
        return made

    def at(self, revision: str) -> Commit | None:
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        return self.commits.get(oid)

    @property
    def head(self) -> Commit:
        return self.commits[self.branches["main"]]


def blob(path: str, data: bytes) -> Blob:
    return Blob(data, path.endswith(LFS_ENDINGS))
