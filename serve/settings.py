"""Settings of the server: from the environment, or from a TOML file.

Every field is ``WEILEI_SERVE_`` + its name in capitals in the environment, or
its name in the file. Whatever is not a field is refused: a typing error in the
name of a limit must not leave the server without that limit.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Annotated, Any

import limits
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from classifier.errors import InputError

PREFIX = "WEILEI_SERVE_"
CONFIG = f"{PREFIX}CONFIG"  # path of the file, for worker processes

_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[^\s/?#@:*\[\]]+)(?P<port>:\d{1,5})?/?"
)
_USUAL = {"http": ":80", "https": ":443"}

# Decoded here: pydantic's own decoding of the environment fails with a message for programmers.
_Several = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """What an operator may set. Lengths in characters, sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="监听的地址；不是本机时必须有 api_keys")
    port: int = Field(8000, ge=0, le=65535, description="端口")
    workers: int = Field(1, ge=1, le=64, description="进程数，互不共享")
    threads: int | None = Field(None, ge=1, description="每个进程用几个核，不写就全用")
    model: Path | None = Field(None, description="模型文件夹，不写就用正在用的")
    taxonomy: Path | None = Field(None, description="改过主办单位的分类表")
    max_error: float | None = Field(None, gt=0, lt=1, description="自动通道承诺的错误率")
    api_keys: _Several = Field((), description="钥匙的 SHA-256（64 位十六进制），可以几把")
    allow_origins: _Several = Field((), description="哪些网站的页面可以直接调用（CORS）")
    rate_limit: str = Field("1200/minute", description="每把钥匙的请求数上限")
    max_characters: int = Field(5000, ge=1, description="一条建议最多几个字")
    max_body: int = Field(2_000_000, ge=1000, description="请求体最大几字节（上传文件除外）")
    max_upload: int = Field(50_000_000, ge=1000, description="上传的文件最大几字节")
    max_queue: int = Field(16_000, ge=1, description="排队的字数上限，超过回 429")
    max_batch: int = Field(2500, ge=1, description="一次一起算的字数")
    deadline: float = Field(
        5.0, gt=0, description="一个请求最多等几秒，超过回 504；几条一起的再加算它们要的时间"
    )
    slow_client: float = Field(10.0, gt=0, description="发请求头、请求体、收回答最慢几秒")
    drain: float = Field(1.0, ge=0, le=5, description="收到停止信号后再接几秒，/readyz 已是 503")
    files: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / f"weilei-files-{_user()}",
        description="上传的表格和结果放在哪里",
    )
    keep_files: float = Field(3600.0, gt=0, description="上传的表格和结果留几秒")
    max_files: int = Field(20, ge=1, description="最多几个表格在排队或在做")

    @field_validator("api_keys", "allow_origins", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        if isinstance(given, str):
            try:
                given = json.loads(given)
            except ValueError:
                given = None
        if not isinstance(given, list | tuple) or not all(isinstance(v, str) for v in given):
            raise ValueError('要写成列表，如 ["甲", "乙"]，只有一个也要方括号和引号')
        return given

    @field_validator("rate_limit")
    @classmethod
    def _rate(cls, rate: str) -> str:
        try:
            [_] = limits.parse_many(rate)  # of several only the first one would count
        except ValueError:
            raise ValueError("要写成“次数/时间”，如 1200/minute、20/second") from None
        return rate

    @field_validator("api_keys")
    @classmethod
    def _hashed(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch("[0-9a-f]{64}", key) for key in keys):
            raise ValueError("要写钥匙的 SHA-256，不是钥匙本身；用 weilei serve --make-key 生成")
        return keys

    @field_validator("allow_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_origin, origins))

    @model_validator(mode="after")
    def _keys_beyond_this_machine(self) -> Settings:
        if not self.api_keys and not _loopback(self.host):
            raise ValueError(
                f"host 是 {self.host}，别的机器也能连上，必须先设 api_keys；"
                "用 weilei serve --make-key 生成"
            )
        return self


def load_settings(file: Path | None = None, **given: Any) -> Settings:
    """Settings from `given`, then the environment, then `file`, then the defaults.

    Raises:
        InputError: an unknown name, a value out of range, or a file that is not TOML.
    """
    known = set(Settings.model_fields)
    here = {
        name.upper().removeprefix(PREFIX).lower(): name
        for name in os.environ
        if name.upper().startswith(PREFIX) and name.upper() != CONFIG
    }
    if foreign := sorted(name for field, name in here.items() if field not in known):
        raise InputError(f"不认识的环境变量 {'、'.join(foreign)}；能用的见 README“接口”一节")
    from_file: dict[str, Any] = {}
    if file is not None:
        try:
            # Notepad puts a byte order mark in front.
            from_file = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise InputError(f"读不了设置文件 {file}：{error}") from error
    given = {k: v for k, v in given.items() if v is not None}
    rest = {k: v for k, v in from_file.items() if k not in here and k not in given}
    try:
        return Settings(**rest, **given)
    except ValidationError as error:
        raise InputError("设置不对：" + "；".join(map(_readable, error.errors()))) from None


_BOUNDS = {
    "greater_than": "要大于 {gt}",
    "greater_than_equal": "不能小于 {ge}",
    "less_than": "要小于 {lt}",
    "less_than_equal": "不能大于 {le}",
}
_KINDS = {"int": "整数", "float": "数", "string": "文字", "path": "文件夹或文件的路径"}


def _readable(error: Any) -> str:
    where = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"没有叫 {where} 的设置"
    if error["type"] in _BOUNDS:
        message = _BOUNDS[error["type"]].format(**error["ctx"])
    elif error["type"] == "value_error":
        message = str(error["ctx"]["error"])
    else:
        kind = error["type"].partition("_")[0]
        message = f"要是{_KINDS.get(kind, '别的类型')}"
    return f"{where} {message}" if where else message


def in_words(seconds: float) -> str:
    """A time for people: 1 小时, 90 分钟, 45 秒."""
    for length, unit in ((86400, "天"), (3600, "小时"), (60, "分钟")):
        if seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} 秒"


def _origin(given: str) -> str:
    """An origin as a browser says it: in small letters, no path, no port that goes without saying.

    Any other would be let through to ask, and then refused.
    """
    found = _ORIGIN.fullmatch(given.strip().lower())
    try:
        host = found["host"] if found else ""
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        found = None
    if found is None:
        raise ValueError(
            f"要写网站的来源，如 https://www.example.gov.cn 或 http://10.0.0.5:8080，"
            f"不能是 {given!r}；不能用 *，有几个网站就写几个"
        )
    port = found["port"] or ""
    return f"{found['scheme']}://{host}" + ("" if port == _USUAL[found["scheme"]] else port)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
