"""A hub on this machine: what huggingface_hub asks of one to push and to fetch a model."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

OWNER = "hf_owner"  # the token that may do everything
READER = "hf_reader"  # the token that may only read


@dataclass
class Repository:
    """Commits by branch, each a mapping of paths to contents."""

    private: bool = False
    branches: dict[str, list[str]] = field(default_factory=lambda: {"main": []})
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit(self, branch: str, changes: dict[str, bytes]) -> str:
        line = self.branches[branch]
        files = {**(self.commits[line[-1]] if line else {}), **changes}
        listed = json.dumps([[k, hashlib.sha1(v).hexdigest()] for k, v in sorted(files.items())])
        sha = hashlib.sha1(f"{len(self.commits)}{listed}".encode()).hexdigest()
        self.commits[sha] = files
        line.append(sha)
        return sha

    def resolve(self, revision: str) -> str | None:
        if revision in self.branches:
            return self.branches[revision][-1] if self.branches[revision] else None
        return revision if revision in self.commits else None


@dataclass
class Hub:
    """What the server holds, and what it was asked."""

    endpoint: str = ""
    large: tuple[str, ...] = (".safetensors",)  # sent apart from the commit, by the LFS protocol
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    broken: int = 0  # the status of every answer, where it is not 0
    rejected_card: str = ""
    full: bool = False  # takes no large file

    def add(self, name: str, files: dict[str, bytes], private: bool = False) -> str:
        """A repository with one commit."""
        made = self.repositories[name] = Repository(private)
        return made.commit("main", files)


class Handler(BaseHTTPRequestHandler):
    """One request; ``server.hub`` is the hub."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: object = b"", **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def lost(self, what: str) -> None:
        self.answer(404, {"error": what}, X_Error_Code=what)

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def repository(self, name: str) -> Repository | None:
        """The repository, where it may be read; otherwise the answer was given."""
        found = self.server.hub.repositories.get(name)
        if found is None or (found.private and self.token not in (OWNER, READER)):
            self.answer(401 if not self.token else 404, {}, X_Error_Code="RepoNotFound")
            return None
        return found

    def do_any(self) -> None:
        hub: Hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        hub.asked.append((self.command, path))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if hub.broken:
            self.answer(hub.broken, {"error": "out of order"})
            return
        for command, pattern, act in ROUTES:
            if command == self.command and (match := re.fullmatch(pattern, path)):
                act(self, hub, body, *match.groups())
                return
        self.answer(404, {"error": f"no such address: {self.command} {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = do_any  # noqa: N815

    def create(self, hub: Hub, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if self.token != OWNER:
            self.answer(403 if self.token else 401, {"error": "no"}, X_Error_Message="not yours")
        elif name in hub.repositories:
            self.answer(409, {"url": f"{hub.endpoint}/{name}"})
        else:
            hub.repositories[name] = Repository(asked.get("visibility") == "private")
            self.answer(200, {"url": f"{hub.endpoint}/{name}", "name": name})

    def validate(self, hub: Hub, body: bytes) -> None:
        content = json.loads(body)["content"]
        if hub.rejected_card or not content.startswith("---\n"):
            wrong = hub.rejected_card or "no metadata"
            self.answer(400, {"errors": [{"message": wrong}], "warnings": []})
        else:
            self.answer(200, {"errors": [], "warnings": []})

    def preupload(self, hub: Hub, body: bytes, name: str, revision: str) -> None:
        if self.repository(name) is None:
            return
        if self.token != OWNER:
            self.answer(403, {"error": "no"}, X_Error_Message="not yours")
            return
        files = json.loads(body)["files"]
        modes = ["lfs" if f["path"].endswith(hub.large) else "regular" for f in files]
        given = [
            {"path": f["path"], "uploadMode": mode, "shouldIgnore": False}
            for f, mode in zip(files, modes, strict=True)
        ]
        self.answer(200, {"files": given})

    def batch(self, hub: Hub, body: bytes, name: str) -> None:
        objects = [
            {**each, "actions": {"upload": {"href": f"{hub.endpoint}/objects/{each['oid']}"}}}
            for each in json.loads(body)["objects"]
        ]
        self.answer(200, {"transfer": "basic", "objects": objects})

    def receive(self, hub: Hub, body: bytes, oid: str) -> None:
        if hub.full:
            self.answer(507)
            return
        sound = hashlib.sha256(body).hexdigest() == oid
        if sound:
            hub.objects[oid] = body
        self.answer(200 if sound else 400)

    def commit(self, hub: Hub, body: bytes, name: str, revision: str) -> None:
        repository = self.repository(name)
        if repository is None:
            return
        if self.token != OWNER:
            self.answer(403, {"error": "no"}, X_Error_Message="not yours")
            return
        if revision not in repository.branches:
            self.lost("RevisionNotFound")
            return
        files = {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                assert value["encoding"] == "base64"
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = hub.objects[value["oid"]]
        sha = repository.commit(revision, files)
        url = f"{hub.endpoint}/{name}/commit/{sha}"
        self.answer(200, {"commitUrl": url, "commitOid": sha, "pullRequestUrl": None})

    def about(self, hub: Hub, body: bytes, name: str, revision: str = "main") -> None:
        repository = self.repository(name)
        if repository is None:
            return
        sha = repository.resolve(revision)
        if sha is None:
            self.lost("RevisionNotFound")
            return
        siblings = [{"rfilename": path} for path in repository.commits[sha]]
        self.answer(200, {"id": name, "sha": sha, "siblings": siblings, "private": False})

    def tree(self, hub: Hub, body: bytes, name: str, revision: str) -> None:
        repository = self.repository(name)
        if repository is not None:
            files = repository.commits[repository.resolve(revision)]
            self.answer(
                200,
                [
                    {"type": "file", "path": k, "size": len(v), "oid": hashlib.sha1(v).hexdigest()}
                    for k, v in files.items()
                ],
            )

    def file(self, hub: Hub, body: bytes, name: str, revision: str, path: str) -> None:
        repository = self.repository(name)
        if repository is None:
            return
        sha = repository.resolve(revision)
        if sha is None or path not in repository.commits[sha]:
            self.lost("EntryNotFound")
            return
        content = repository.commits[sha][path]
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        self.answer(200, content, ETag=etag, X_Repo_Commit=sha)


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = [
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.validate),
    ("POST", f"/api/models/{NAME}/preupload/(.+)", Handler.preupload),
    ("POST", f"/api/models/{NAME}/commit/(.+)", Handler.commit),
    ("POST", rf"/{NAME}\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", "/objects/([0-9a-f]{64})", Handler.receive),
    ("GET", f"/api/models/{NAME}", Handler.about),
    ("GET", f"/api/models/{NAME}/revision/(.+)", Handler.about),
    ("GET", f"/api/models/{NAME}/tree/([^/]+)", Handler.tree),
    ("HEAD", f"/{NAME}/resolve/([^/]+)/(.+)", Handler.file),
    ("GET", f"/{NAME}/resolve/([^/]+)/(.+)", Handler.file),
]


@contextmanager
def running():
    """A hub that answers until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
