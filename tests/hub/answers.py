"""Responses of the test Hub: one function per route."""

from __future__ import annotations

import base64
import json
from typing import Any

import yaml

from tests.hub.repositories import Blob, Commit, Repository, blob

PAGE = 50  # of the tree; the real one has 1000
LICENSES = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-nc-4.0", "other")


def _repository(h: Any, kind: str, repo: str, *, write: bool = False) -> Repository | None:
    """Return a repository that the token may read, or send an error."""
    found = h.hub.repositories.get((kind, repo))
    if found is None or (found.private and h.token is None):
        status = 401 if h.token is None else 404
        h.send(status, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        return None
    if write and h.token != "hf_write":
        h.send(403 if h.token else 401, {"error": "Forbidden"}, {"X-Error-Message": "Forbidden"})
        return None
    return found


def _commit_at(h: Any, found: Repository | None, revision: str) -> Commit | None:
    if found is None:
        return None
    commit = found.at(revision)
    if commit is None:
        h.send(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
    return commit


def create(h: Any) -> None:
    request = h.json
    kind, repo = request.get("type", "model"), f"{request['organization']}/{request['name']}"
    if h.token != "hf_write":
        h.send(403 if h.token else 401, {"error": "Forbidden"}, {"X-Error-Message": "Forbidden"})
        return
    with h.hub.lock:
        there = (kind, repo) in h.hub.repositories
        if not there:
            private = request.get("visibility") == "private"
            h.hub.repositories[kind, repo] = Repository(private, sdk=request.get("sdk"))
    prefix = "spaces/" if kind == "space" else ""
    url = f"{h.hub.endpoint}/{prefix}{repo}"
    h.send(409 if there else 200, {"url": url, "error": "You already created it"})


def info(h: Any, kind: str, repo: str, revision: str | None = None) -> None:
    found = _repository(h, kind, repo)
    if commit := _commit_at(h, found, revision or "main"):
        siblings = [{"rfilename": path} for path in commit.files]
        h.send(200, {"_id": "1", "id": repo, "modelId": repo, "sha": commit.oid, "tags": [],
                     "private": found.private, "gated": found.gated,  # type: ignore[union-attr]
                     "siblings": siblings})  # fmt: skip


def refs(h: Any, kind: str, repo: str) -> None:
    if found := _repository(h, kind, repo):
        listed = {
            name: [
                {"name": n, "ref": f"refs/{ref}/{n}", "targetCommit": oid}
                for n, oid in ones.items()
            ]
            for name, ref, ones in (
                ("branches", "heads", found.branches), ("tags", "tags", found.tags),
            )
        }  # fmt: skip
        h.send(200, {**listed, "converts": []})


def tree(h: Any, kind: str, repo: str, revision: str) -> None:
    if commit := _commit_at(h, _repository(h, kind, repo), revision):
        start = int(h.query.get("cursor", ["0"])[0])
        entries = [_entry(path, one) for path, one in sorted(commit.files.items())]
        headers = {}
        if start + PAGE < len(entries):
            url = f"{h.hub.endpoint}/api/{kind}s/{repo}/tree/{revision}"
            headers["Link"] = f'<{url}?recursive=true&cursor={start + PAGE}>; rel="next"'
        h.send(200, entries[start : start + PAGE], headers)


def _entry(path: str, one: Blob) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(one.data), "oid": one.oid}
    if one.is_lfs:
        entry["lfs"] = {"oid": one.sha256, "size": len(one.data), "pointerSize": len(one.pointer)}
    return entry


def preupload(h: Any, kind: str, repo: str, revision: str) -> None:
    found = _repository(h, kind, repo, write=True)
    if commit := _commit_at(h, found, revision):
        answers = []
        for one in h.json["files"]:
            there = commit.files.get(one["path"])
            mode = "lfs" if blob(one["path"], b"").is_lfs else "regular"
            answers.append({"path": one["path"], "uploadMode": mode, "shouldIgnore": False,
                            "oid": there.etag if there else None})  # fmt: skip
        h.send(200, {"files": answers})


def lfs_batch(h: Any, kind: str, repo: str) -> None:
    if _repository(h, kind, repo, write=True) is None:
        return
    request = h.json
    if "basic" not in request["transfers"]:
        h.send(422, {"message": "no known transfer"})
        return
    answers = []
    for one in request["objects"]:
        answer = {"oid": one["oid"], "size": one["size"]}
        if one["oid"] not in h.hub.objects:
            answer["actions"] = {
                "upload": {"href": f"{h.hub.storage}/upload/{one['oid']}"},
                "verify": {"href": f"{h.hub.endpoint}/{repo}.git/info/lfs/verify"},
            }
        answers.append(answer)
    h.send(200, {"transfer": "basic", "objects": answers})


def lfs_verify(h: Any, kind: str, repo: str) -> None:
    h.send(200 if h.json["oid"] in h.hub.objects else 404, {})


def upload(h: Any, oid: str) -> None:
    if h.token is not None:
        h.send(400, b"Only one auth mechanism allowed")  # as S3 says to a signed URL with a token
        return
    if h.hub.store(h.body) != oid:
        del h.hub.objects[Blob(h.body, True).sha256]
        h.send(400, b"BadDigest")
        return
    h.send(200, b"", {"ETag": f'"{oid}"'})


def commit(h: Any, kind: str, repo: str, revision: str) -> None:
    found = _repository(h, kind, repo, write=True)
    if found is None:
        return
    added, deleted, header = {}, [], {}
    for line in h.body.splitlines():
        item = json.loads(line)
        value = item["value"]
        if item["key"] == "header":
            header = value
        elif item["key"] == "file":
            added[value["path"]] = Blob(base64.b64decode(value["content"]), False)
        elif item["key"] == "lfsFile" and value["oid"] in h.hub.objects:
            added[value["path"]] = Blob(h.hub.objects[value["oid"]], True)
        elif item["key"] == "deletedFile":
            deleted.append(value["path"])
        else:
            h.send(400, {"error": f"cannot take {item}"})
            return
    with h.hub.lock:
        parent = header.get("parentCommit")
        stale = parent is not None and parent != found.branches.get(revision)
        made = None if stale else found.commit(revision, added, deleted, header["summary"])
    if made is None:
        h.send(412, {"error": "A commit has happened since. Please refresh and try again."})
        return
    h.send(200, {"success": True, "commitOid": made.oid,
                 "commitUrl": f"{h.hub.endpoint}/{repo}/commit/{made.oid}"})  # fmt: skip


def tag(h: Any, kind: str, repo: str, revision: str) -> None:
    found = _repository(h, kind, repo, write=True)
    if at := _commit_at(h, found, revision):
        name = h.json["tag"]
        taken = name in found.tags  # type: ignore[union-attr]
        found.tags.setdefault(name, at.oid)  # type: ignore[union-attr]
        h.send(409 if taken else 200, {"error": "Tag already exists"} if taken else {})


def branch(h: Any, kind: str, repo: str, revision: str) -> None:
    if found := _repository(h, kind, repo, write=True):
        taken = revision in found.branches
        found.branches.setdefault(revision, found.head.oid)
        h.send(409 if taken else 200, {"error": "Reference already exists"} if taken else {})


def resolve(h: Any, kind: str, repo: str, revision: str, path: str) -> None:
    found = _repository(h, kind, repo)
    at = _commit_at(h, found, revision)
    if at is None:
        return
    if found.gated and h.token != "hf_write":  # type: ignore[union-attr]
        h.send(403 if h.token else 401, {"error": "restricted"}, {"X-Error-Code": "GatedRepo"})
        return
    headers = {"X-Repo-Commit": at.oid}
    if path not in at.files:
        h.send(404, {"error": "Entry not found"}, {**headers, "X-Error-Code": "EntryNotFound"})
        return
    one = at.files[path]
    if not one.is_lfs:
        h.send(200, one.data, {**headers, "ETag": f'"{one.etag}"'})
        return
    h.hub.store(one.data)
    linked = {"X-Linked-Etag": f'"{one.etag}"', "X-Linked-Size": str(len(one.data))}
    h.send(302, b"", {**headers, **linked, "Location": f"{h.hub.storage}/storage/{one.etag}"})


def storage(h: Any, oid: str) -> None:
    if h.token is not None:
        h.send(400, b"Only one auth mechanism allowed")
        return
    data = h.hub.objects[oid]
    request = h.headers.get("Range")
    if request is None:
        h.send(200, data, {"ETag": f'"{oid}"'})
        return
    start = int(request.removeprefix("bytes=").partition("-")[0])
    span = f"bytes {start}-{len(data) - 1}/{len(data)}"
    h.send(206, data[start:], {"ETag": f'"{oid}"', "Content-Range": span})


def validate_yaml(h: Any) -> None:
    request = h.json
    parts = request["content"].split("---\n", 2)
    data = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else {}
    errors = list(_faults_of(data, request["repoType"]))
    output = {"errors": [{"message": one} for one in errors], "warnings": []}
    h.send(400 if errors else 200, output)


def _faults_of(data: dict[str, Any], kind: str) -> list[str]:
    """Return the Hub's validation errors of front matter, including the model-index of a card."""
    faults = [] if data.get("license") in LICENSES else ['"license" must be one of those known']
    if kind == "space":
        known = data.get("sdk") in ("gradio", "docker", "static")
        short = len(data.get("short_description", "")) <= 60
        faults += [] if known else ['"sdk" must be one of gradio, docker, static']
        faults += [] if short else ['"short_description" length must be at most 60']
        return faults
    for model in data.get("model-index", []):
        for result in model["results"]:
            needed = [result.get("task", {}).get("type"), result.get("dataset", {}).get("type"),
                      result.get("dataset", {}).get("name")]  # fmt: skip
            needed += [one.get("type") for one in result["metrics"]]
            needed += [one.get("value") for one in result["metrics"]]
            faults += [] if all(one is not None for one in needed) else ['"model-index" is broken']
    return faults


def variables(h: Any, kind: str, repo: str) -> None:
    if found := _repository(h, kind, repo, write=True):
        if h.command == "POST":
            found.variables[h.json["key"]] = h.json["value"]
        h.send(200, {key: {"value": value} for key, value in found.variables.items()})


def xet_token(h: Any, kind: str, repo: str, revision: str) -> None:
    h.send(404, {"error": "this Hub has no xet storage"})


_ID = r"(?P<repo>[^/]+/[^/]+?)"
_API = rf"/api/(?P<kind>model|space)s/{_ID}"
_REV = r"(?P<revision>[^/]+)"


def _web(tail: str, answer: Any) -> list[tuple[str, str, Any]]:
    """Return a route of pages; only Spaces have their kind as a prefix."""
    method, _, path = tail.partition(" ")
    return [
        (method.replace("|", " "), rf"/spaces/{_ID}{path}",
         lambda h, **parts: answer(h, "space", **parts)),
        (method.replace("|", " "), rf"/(?!api/|spaces/){_ID}{path}",
         lambda h, **parts: answer(h, "model", **parts)),
    ]  # fmt: skip


ROUTES: list[tuple[str, str, Any]] = [
    ("POST", r"/api/repos/create", create),
    ("POST", r"/api/validate-yaml", validate_yaml),
    ("GET", rf"{_API}", info),
    ("GET", rf"{_API}/revision/{_REV}", info),
    ("GET", rf"{_API}/refs", refs),
    ("GET", rf"{_API}/tree/{_REV}", tree),
    ("GET", rf"{_API}/xet-(?:read|write)-token/{_REV}", xet_token),
    ("POST", rf"{_API}/preupload/{_REV}", preupload),
    ("POST", rf"{_API}/commit/{_REV}", commit),
    ("POST", rf"{_API}/tag/{_REV}", tag),
    ("POST", rf"{_API}/branch/{_REV}", branch),
    ("GET POST", rf"{_API}/variables", variables),
    *_web(r"POST \.git/info/lfs/objects/batch", lfs_batch),
    *_web(r"POST \.git/info/lfs/verify", lfs_verify),
    *_web(rf"GET|HEAD /resolve/{_REV}/(?P<path>.+)", resolve),
    ("PUT", r"/upload/(?P<oid>\w+)", upload),
    ("GET HEAD", r"/storage/(?P<oid>\w+)", storage),
]
