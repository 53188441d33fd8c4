"""The API, version 1. Each route takes what it needs from the runtime and answers."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from markdown_it import MarkdownIt
from sse_starlette import EventSourceResponse

from classifier import Prediction
from classifier.tables.source import SUFFIXES
from classifier.tables.target import clean
from classifier.text import join_fields
from serve.errors import MEDIA_TYPE, TABLE, ProblemError
from serve.runtime import Runtime
from serve.schemas import (
    BatchIn,
    BatchOut,
    ClassifyIn,
    ModelOut,
    PredictionOut,
    StateOut,
    TableOut,
    TaxonomyOut,
    prediction_out,
)

_GONE = 0.5  # seconds between two looks whether the client is still there
_FIELDS = ("file", "text", "max_error", "mask")  # of an upload


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of the errors of a route."""
    return {
        status: {
            "description": TABLE[status][0],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}},
        }
        for status in sorted({*statuses, 401, 403, 429, 500})
    }


v1 = APIRouter(prefix="/v1")
health = APIRouter()


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


def _owner(request: Request) -> str:
    return str(request.scope["state"].get("key", ""))


async def _classify(request: Request, texts: list[str]) -> list[Prediction]:
    runtime = _runtime(request)
    longest = runtime.settings.max_characters
    for i, text in enumerate(texts, 1):
        if len(text) > longest:
            raise ProblemError(422, f"第 {i} 条有 {len(text)} 个字，最多 {longest} 个。")
    if runtime.batcher is None:
        raise ProblemError(503)
    job = asyncio.ensure_future(runtime.batcher.submit(texts))
    while not (await asyncio.wait({job}, timeout=_GONE))[0]:
        if await request.is_disconnected():
            job.cancel()
            raise ProblemError(408)
    return job.result()


@v1.post(
    "/classify", summary="给一条建议定类", tags=["判定"], response_model=PredictionOut,
    responses=problems(400, 408, 413, 415, 422, 503, 504),
)  # fmt: skip
async def classify(request: Request, body: ClassifyIn) -> JSONResponse:
    """主办类、概率、协办类、备选、通道和原因；拿不准的 lane 是 review，请转人工。"""
    [found] = await _classify(request, [join_fields(body.title, body.text)])
    return JSONResponse(prediction_out(found, body.text))


@v1.post(
    "/classify/batch", summary="给几条建议定类", tags=["判定"], response_model=BatchOut,
    responses=problems(400, 408, 413, 415, 422, 503, 504),
)  # fmt: skip
async def classify_batch(request: Request, body: BatchIn) -> JSONResponse:
    """一次最多 256 条，次序和条数不变。"""
    found = await _classify(request, body.texts)
    # Looking for personal data in so much text would hold up everybody else.
    predictions = await asyncio.to_thread(list, map(prediction_out, found, body.texts))
    return JSONResponse({"predictions": predictions})


@v1.get(
    "/taxonomy", summary="分类表", tags=["模型"], response_model=TaxonomyOut, responses=problems()
)
async def taxonomy(request: Request) -> dict[str, Any]:
    """各类的名称、范围和主办单位。"""
    found = _runtime(request).classifier.taxonomy
    return {
        "name": found.name,
        "abstain": found.abstain or "",
        "max_characters": _runtime(request).settings.max_characters,
        "classes": [
            {"id": c.id, "name": c.name, "scope": c.scope, "office": c.office} for c in found
        ],
    }


@v1.get(
    "/model", summary="在用的模型", tags=["模型"], response_model=ModelOut, responses=problems()
)
async def model(request: Request) -> dict[str, Any]:
    """编号、承诺、门槛、风险曲线和模型说明。"""
    found, card = _runtime(request).classifier, _runtime(request).card
    return {
        "id": found.model_id,
        "taxonomy": found.taxonomy.name,
        "max_error": found.max_error,
        "threshold": found.threshold,
        "temperature": found.bundle.calibration.temperature,
        "curve": found.bundle.calibration.curve,
        # Markup in the card is shown as text, so a foreign model brings no script.
        "card_html": MarkdownIt("js-default").render(card),
    }


async def _only_known(request: Request) -> None:
    """Nothing is ignored: whoever misspells `mask` would get phone numbers in clear."""
    names = [name for name, _ in (await request.form()).multi_items()]
    if request.query_params:
        raise ProblemError(422, f"地址里不能带参数，请写成表单的字段：{'、'.join(_FIELDS)}。")
    if not set(names) <= set(_FIELDS):
        raise ProblemError(422, f"有接口说明里没有的字段，能用的只有 {'、'.join(_FIELDS)}。")
    if twice := [name for name in _FIELDS if names.count(name) > 1]:
        raise ProblemError(422, f"{'、'.join(twice)} 只能有一个；几张表请分几次上传。")


@v1.post(
    "/files", summary="上传一张表打标", tags=["表格"], status_code=202, response_model=TableOut,
    responses=problems(400, 408, 413, 415, 422, 503, 507),
)  # fmt: skip
async def upload(
    request: Request,
    file: Annotated[UploadFile, File(description=f"表格：{' '.join(SUFFIXES)}")],
    text: Annotated[str, Form(description="正文所在的列；标题和正文分两列时写“标题,内容”")] = "",
    max_error: Annotated[float | None, Form(gt=0, lt=1, description="自动通道承诺的错误率")] = None,
    mask: Annotated[bool, Form(description="隐去个人信息")] = False,
) -> JSONResponse:
    """收下表格，排队打标；进度看 /events，结果在 /table，留 {keep_files}；没打成的马上删除。"""
    if _runtime(request).draining:  # the stop would take it away again
        raise ProblemError(503, headers={"Retry-After": "5"})
    await _only_known(request)
    state = await _runtime(request).files.receive(
        file.filename or "",
        file.file,
        _owner(request),
        {"text": clean(text) or None, "max_error": max_error, "masked": () if mask else None},
    )
    return JSONResponse(state, 202, {"Location": f"/v1/files/{state['id']}"})


@v1.get(
    "/files/{number}", summary="一张表的进度", tags=["表格"], response_model=TableOut,
    responses=problems(404, 422),
)  # fmt: skip
async def state(request: Request, number: str) -> JSONResponse:
    """排队、在做、做完了还是失败了；做完后有各类条数、要人看的行和有问题的行。"""
    return JSONResponse(_runtime(request).files.state(number, _owner(request)))


@v1.get(
    "/files/{number}/events", summary="一张表的进度（server-sent events）", tags=["表格"],
    responses=problems(404, 422) | {200: {"content": {"text/event-stream": {}}}},
    response_class=EventSourceResponse,
)  # fmt: skip
async def events(request: Request, number: str) -> Response:
    """progress 一次次报进度，最后是 done 或 failed。"""
    files, owner = _runtime(request).files, _owner(request)
    files.state(number, owner)
    if request.scope["state"]["head"]:  # would wait for events that nobody gets
        return Response(media_type="text/event-stream")
    return EventSourceResponse(files.events(number, owner))


@v1.get(
    "/files/{number}/table", summary="下载打好的表", tags=["表格"],
    responses=problems(400, 404, 409, 416, 422)
    | {200: {"content": {"application/octet-stream": {}}}}, response_class=FileResponse,
)  # fmt: skip
async def table(request: Request, number: str) -> FileResponse:
    """和命令行 weilei tag 写出的一样。"""
    path, name = _runtime(request).files.table(number, _owner(request))
    return FileResponse(path, filename=name, media_type="application/octet-stream")


@v1.delete(
    "/files/{number}", summary="删除一张表", tags=["表格"], status_code=204,
    responses=problems(404, 422),
)  # fmt: skip
async def remove(request: Request, number: str) -> Response:
    """连同结果一起删除，在做的停下。"""
    _runtime(request).files.remove(number, _owner(request))
    return Response(status_code=204)


@health.get("/healthz", summary="活着没有", tags=["运维"], response_model=StateOut)
async def healthz() -> dict[str, str]:
    """进程在就是 200。"""
    return {"status": "ok"}


@health.get(
    "/readyz", summary="能不能接活", tags=["运维"], response_model=StateOut,
    responses={503: {"model": StateOut, "description": "还没有准备好，或正在停止"}},
)  # fmt: skip
async def readyz(request: Request) -> JSONResponse:
    """模型装好了是 200；正在停止是 503。"""
    ready = _runtime(request).ready
    return JSONResponse({"status": "ready" if ready else "stopping"}, 200 if ready else 503)


@health.get("/metrics", summary="Prometheus 指标", tags=["运维"], response_class=PlainTextResponse)
async def metrics(request: Request) -> PlainTextResponse:
    """请求、时延、排队、批大小、通道、类别、置信度；没有任何文字。"""
    return PlainTextResponse(_runtime(request).metrics.text())
