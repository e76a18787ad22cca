"""A served page of a small model, and who asks it as a browser would."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from vision import Means

import mmalign
from mmalign.play.laying import laid
from mmalign.play.limits import Limits
from mmalign.play.serving import listening, server_of
from mmalign.play.table import Table
from mmalign.plugins import discover
from mmalign.recipe import read
from mmalign.run import run

TINY = [
    *("dataset.seen=12", "dataset.unseen=3", "dataset.validation=3", "dataset.samples=15"),
    *("dataset.sample_views=[12]", "dataset.class_views=[6]", "dataset.spread=0.2"),
    *("dataset.factors=4", "modality.image.hidden=[64,64]", "modality.attributes.hidden=[32,32]"),
    *("method.epochs=30", "method.batch=16", "method.lr=5e-3", "head.lr=5e-2"),
    *("head.most_epochs=6", "run.seeds=1", "protocol.search=seen"),
]
FOLDER = "it's a run"  # a shell must have it in quotes


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a model that knows 12 classes of synthetic data, which has 3 others."""
    return _trained(tmp_path_factory.getbasetemp())


@cache  # a fixture of a session is made anew for each module that imports it
def _trained(base: Path) -> Path:
    place = base / "play"
    done = run(read("synthetic", discover(), TINY), discover(), Console(quiet=True), place)
    return done.folder.rename(place / FOLDER)


@pytest.fixture
def table(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """The tiny model on a table, which takes pictures by a backbone that costs nothing."""
    return laid_with_pictures(tiny, monkeypatch)


def laid_with_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch, *samples: str) -> Table:
    monkeypatch.setattr("mmalign.play.table.backbone_of", lambda *_: Means())
    model = mmalign.load(folder)
    sees = {**model.config, "backbones": {"image": {"use": "means"}}}
    return laid(replace(model, config=sees), str(folder), samples)


@dataclass
class Page:
    """Where a page is served, and a client that is no browser."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        """Status, JSON (or bytes) and headers of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        typed = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(content) if typed else content, response.headers

    def get(self, path: str) -> Any:
        status, told, _ = self.call("GET", path)
        assert status == 200, told
        return told

    def change(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Add or remove a class, and wait until that is over."""
        status, told, _ = self.call(method, path, body)
        assert status == 202, told
        while not told["over"]:
            told = self.get("/api/job")
        return told


@contextmanager
def served(table: Table, limits: Limits | None = None) -> Iterator[Page]:
    """The table's page, served by a thread of this process."""
    with listening(0) as made:
        server = server_of(table, limits or Limits())
        thread = threading.Thread(target=server.run, args=([made],), daemon=True)
        thread.start()
        try:
            yield Page(made.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()
