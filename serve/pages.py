"""Pages for people, and the widget for other people's pages."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"
pages = APIRouter(include_in_schema=False)


@pages.get("/")
async def form() -> FileResponse:
    """A demonstration of an intake form."""
    return FileResponse(STATIC / "form.html")


@pages.post("/thanks")
async def thanks() -> FileResponse:
    """Where the demonstration form is sent; what was sent is not even read."""
    return FileResponse(STATIC / "thanks.html")


@pages.get("/files")
async def files() -> FileResponse:
    """Tag a table without installing anything."""
    return FileResponse(STATIC / "files.html")


@pages.get("/model")
async def model() -> FileResponse:
    """What the model can do, and what not."""
    return FileResponse(STATIC / "model.html")


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
