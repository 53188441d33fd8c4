"""One table from error to problem details (RFC 9457), in Chinese, without a word of the text."""

from __future__ import annotations

import errno
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from classifier.errors import WeileiError

log = logging.getLogger("weilei.serve")
MEDIA_TYPE = "application/problem+json"

# status → (title, what to do)
TABLE: dict[int, tuple[str, str]] = {
    400: ("请求不对", "请求不完整，或者请求体不是完整的 JSON 或表单，请检查后再发。"),
    401: ("没有钥匙", "请在请求头 X-API-Key 里带上钥匙。"),
    403: ("不是这个网站", "别的网站的页面不能用这个服务；要让它用，请把它写进 allow_origins。"),
    404: ("没有这个地址", "没有这个地址，或者文件已经删除、过了保留时间。"),
    405: ("方法不对", "这个地址不接受这种请求方法。"),
    408: ("发得太慢", "请求没有在规定时间内发完，请检查网络后再发。"),
    409: ("还没有做完", "表格还没有打完，请等进度走完再下载。"),
    411: ("缺少长度", "请在请求头里写明 Content-Length。"),
    413: ("内容太大", "请求体超过了上限，请分几次发。"),
    415: ("类型不对", "请求体要是 application/json，上传文件要是 multipart/form-data。"),
    416: ("范围不对", "要的那一段不在文件里，请从头下载。"),
    422: ("内容不合要求", "请按接口说明改正后再发。"),
    429: ("太忙或太频繁", "请等响应头 Retry-After 写的秒数再试。"),
    431: ("请求头太大", "请求头（连地址和 Cookie 在内）太大，请减小后再发。"),
    500: ("服务器出错", "服务器内部出错，请把请求编号告诉管理员。"),
    503: ("正在停止", "服务正在停止或者还没有准备好，请稍后再试。"),
    504: ("超过时限", "没有在时限内算完，请稍后再试。"),
    507: ("存不下", "服务器存不下这个文件，请告诉管理员。"),
}


class ProblemError(Exception):
    """An error with a status of the table."""

    def __init__(
        self, status: int, detail: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def problem(
    status: int, detail: str = "", headers: Mapping[str, str] | None = None, instance: str = ""
) -> JSONResponse:
    """A response of type ``application/problem+json``."""
    title, advice = TABLE.get(status, TABLE[500])
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail or advice,
    }
    if instance:
        body["instance"] = instance
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def no_room(error: OSError) -> ProblemError:
    """A file that the server cannot keep, because its disk is full or for another such reason."""
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    log.error(json.dumps({"time": round(time.time(), 3), "status": 507, "error": name}))
    detail = f"服务器存不下这个文件（{error.strerror or name}），请告诉管理员。"
    return ProblemError(507, detail)


def of(error: WeileiError) -> ProblemError:
    """An error of the library as a problem: its message is Chinese and says what to do."""
    return ProblemError(422, str(error))
