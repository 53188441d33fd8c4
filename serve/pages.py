"""Pages for people, and the widget for other people's pages."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

from classifier.tables.source import SUFFIXES
from serve.settings import in_words

STATIC = Path(__file__).parent / "static"
TEMPLATES = Jinja2Templates(Path(__file__).parent / "templates")
pages = APIRouter(include_in_schema=False)


@pages.get("/")
async def form(request: Request) -> Response:
    """A demonstration of an intake form."""
    return TEMPLATES.TemplateResponse(request, "form.html")


@pages.post("/thanks")
async def thanks(request: Request) -> Response:
    """Where the demonstration form is sent; what was sent is not even read."""
    return TEMPLATES.TemplateResponse(request, "thanks.html")


@pages.get("/files")
async def files(request: Request) -> Response:
    """Tag a table without installing anything."""
    kept = in_words(request.app.state.runtime.settings.keep_files)
    found = {"suffixes": SUFFIXES, "kept": kept}
    return TEMPLATES.TemplateResponse(request, "files.html", found)


@pages.get("/model")
async def model(request: Request) -> Response:
    """What the model can do, and what not."""
    return TEMPLATES.TemplateResponse(request, "model.html")


@pages.get("/widget.js")
async def widget() -> FileResponse:
    """The widget; pages of any origin may load it."""
    return FileResponse(
        STATIC / "widget.js",
        media_type="text/javascript; charset=utf-8",
        headers={
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Cache-Control": "public, max-age=300",
        },
    )


def add_pages(app: FastAPI) -> None:
    """Add the pages and what they load."""
    app.include_router(pages)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
