"""What the page asks for, and how it is answered: FastAPI's routes around a ``Table``."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mmalign.errors import MmalignError
from mmalign.pictures import read_picture
from mmalign.play.desk import Desk
from mmalign.play.door import Door, content
from mmalign.play.evidence import Among
from mmalign.play.limits import Limits, RefusedError
from mmalign.play.newcomers import FILE, Written
from mmalign.play.table import Job, Table

if TYPE_CHECKING:
    from starlette.types import ASGIApp

T = TypeVar("T")

STATIC = Path(__file__).with_name("static")
ASSETS = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/play.css": ("play.css", "text/css; charset=utf-8"),
    "/play.js": ("play.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
SIDE = 512  # pixels of a sample as it is shown, at most


class Form(BaseModel):
    """A description as the page sends it; how long it may be is checked afterwards."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str
    text: str = ""
    numbers: list[Annotated[float, Field(allow_inf_nan=False)]] = []


def make_app(table: Table, limits: Limits | None = None) -> ASGIApp:
    """The page of a table as an application, behind its door."""
    app = FastAPI(title="mmalign play", docs_url=None, redoc_url=None, openapi_url=None)
    for path, (name, kind) in ASSETS.items():
        app.add_api_route(path, _asset(name, kind), response_model=None)
    routes = Routes(table, limits or Limits())
    for path, method, route in (
        ("/api/state", "GET", routes.state),
        ("/api/ask", "POST", routes.ask),
        ("/api/samples", "GET", routes.names),
        ("/api/samples/{number}", "GET", routes.sample),
        ("/api/samples/{number}/picture", "GET", routes.picture),
        ("/api/classes", "POST", routes.add),
        ("/api/classes", "DELETE", routes.remove),
        ("/api/classes.csv", "GET", routes.csv),
        ("/api/stranger", "GET", routes.stranger),
        ("/api/job", "GET", routes.job),
    ):
        app.add_api_route(path, route, methods=[method], response_model=None)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(MmalignError, lambda _, error: _wrong(400, str(error)))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _astray)
    app.add_exception_handler(Exception, _bug)
    return Door(app)


class Routes:
    """The answers. Models compute at one desk, pictures are made smaller at another."""

    def __init__(self, table: Table, limits: Limits) -> None:
        self.table, self.limits = table, limits
        self.desk, self.pictures = Desk(limits.wait), Desk(limits.wait)
        self.last = Job("nothing", limits.adding, over=True)
        self.task: asyncio.Task[None] | None = None

    async def state(self) -> dict[str, Any]:
        """All that the page shows but for answers."""
        bounds = {"upload": self.limits.upload, "name": self.limits.name, "text": self.limits.text}
        return {**self.table.told(), "limits": bounds, "job": self.last.told()}

    async def ask(self, request: Request, name: str = "", among: Among = "all") -> dict[str, Any]:
        """The answer to the picture that is the body."""
        shown = "".join(each for each in name if each.isprintable())[:100] or "the picture"
        body = await content(request, self.limits.upload, self.limits.seconds, shown)
        return await self._computed(lambda: self.table.ask_picture(body, shown, among))

    async def names(self, start: int = 0, count: int = 12) -> dict[str, Any]:
        """Names of samples, from one on."""
        samples, stop = self.table.samples, max(0, start) + min(100, max(0, count))
        some = range(max(0, start), min(stop, len(samples)))
        named = [samples.names[n] if samples.names else f"row {n}" for n in some]
        return {"names": named, "start": some.start, "count": len(samples)}

    async def sample(self, number: int, among: Among = "all") -> dict[str, Any]:
        """The answer to a sample."""
        return await self._computed(lambda: self.table.ask_sample(number, among))

    async def picture(self, number: int) -> Response:
        """A sample that is a picture, made smaller."""
        table = self.table
        table.check(number)
        if not table.samples.pictures:
            raise RefusedError(404, f"sample {number} is a row of numbers, and no picture")
        path = table.samples.pictures[number]
        made = await self.pictures.do(lambda: _smaller(path), self.limits.seconds)
        return Response(made, media_type="image/png")

    async def add(self, request: Request) -> JSONResponse:
        """Begin to take a class in; ``/api/job`` tells how far it is."""
        written = self._written(
            await content(request, self.limits.form, self.limits.seconds, "the description")
        )
        if len(self.table.added) >= self.limits.added:
            raise RefusedError(409, f"{self.limits.added} classes were added, the most; remove one")
        return self._begin(f"adding '{written.name}'", lambda job: self.table.add(written, job))

    async def remove(self, name: str) -> JSONResponse:
        """Begin to let a class go that came on this page."""
        if name not in [each.written.name for each in self.table.added]:
            raise MmalignError(f"'{name[:100]}' is not among the new classes")
        return self._begin(f"removing '{name}'", lambda job: self.table.remove(name, job))

    async def csv(self) -> Response:
        """The new classes as a file for ``mmalign add-classes``."""
        if not self.table.added:
            raise RefusedError(404, "no class was added yet")
        headers = {"content-disposition": f'attachment; filename="{FILE}"'}
        return Response(self.table.csv(), media_type="text/csv", headers=headers)

    async def stranger(self, name: str) -> dict[str, Any]:
        """How the data set describes a class that the model does not know."""
        found = await self._computed(lambda: self.table.described(name))
        return {"name": found.name, "text": found.text, "numbers": list(found.numbers)}

    async def job(self) -> dict[str, Any]:
        """How far the last change of classes is."""
        return self.last.told()

    async def _computed(self, work: Callable[[], T]) -> T:
        if not self.last.over:
            raise RefusedError(503, f"{self.last.what} is not over yet; ask again when it is")
        return await self.desk.do(work, self.limits.seconds)

    def _begin(self, what: str, change: Callable[[Job], None]) -> JSONResponse:
        if not self.last.over:
            raise RefusedError(409, f"{self.last.what} is not over yet; wait for it")
        job = self.last = Job(what, self.limits.adding)
        self.task = asyncio.create_task(self._change(job, change))
        return JSONResponse(job.told(), 202)

    async def _change(self, job: Job, change: Callable[[Job], None]) -> None:
        try:
            await self.desk.do(lambda: change(job))
        except (MmalignError, RefusedError) as error:
            job.end(str(error))
        except Exception as error:
            logging.getLogger("uvicorn.error").exception(job.what)
            job.end(_said(error))
        else:
            job.end()

    def _written(self, body: bytes) -> Written:
        """A description within its limits. Raises RefusedError for anything else."""
        try:
            form = Form.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the form"
            raise RefusedError(400, f"{where}: {first['msg']}") from None
        name, text = " ".join(form.name.split()), " ".join(form.text.split())
        for what, given, most in (
            ("name", name, self.limits.name),
            ("description", text, self.limits.text),
        ):
            if len(given) > most:
                raise RefusedError(400, f"the {what} has {len(given)} letters; {most} are the most")
            if not given.isprintable():
                raise RefusedError(
                    400, f"the {what} has letters that cannot be shown; take them out"
                )
        if not name:
            raise RefusedError(400, "the class has no name; give it one")
        return Written(name, text, tuple(form.numbers))


def _asset(name: str, kind: str) -> Callable[[], Any]:
    file = (STATIC / name).read_bytes()

    async def asset() -> Response:
        return Response(file, media_type=kind)

    return asset


def _smaller(path: Path) -> bytes:
    picture, made = read_picture(path), io.BytesIO()
    picture.thumbnail((SIDE, SIDE))
    picture.save(made, "PNG")
    return made.getvalue()


def _wrong(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)


def _refused(_: Request, error: Exception) -> JSONResponse:
    return _wrong(error.status if isinstance(error, RefusedError) else 400, str(error))


def _invalid(_: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    where = ".".join(map(str, first.get("loc", ())))
    return _wrong(400, f"{where}: {first.get('msg', error)}")


def _astray(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return _wrong(status, f"there is no {request.method} {request.url.path[:100]} here")


def _bug(_: Request, error: Exception) -> JSONResponse:
    return _wrong(500, _said(error))


def _said(error: Exception) -> str:
    said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return f"this is a mistake of mmalign's or of a plugin's: {said}; the terminal has more"
