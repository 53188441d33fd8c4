"""The command ``serve``."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

import click

from classifier.cli.common import FILE, console, extra


@click.command(options_metavar="[选项]")
@click.option("--host", help="监听的地址，默认只有本机 127.0.0.1。")
@click.option("--port", type=int, help="端口，默认 8000。")
@click.option("--config", type=FILE, help="设置文件（TOML），也可以用环境变量。")
@click.option("--make-key", is_flag=True, help="生成一把钥匙和它的 SHA-256，然后退出。")
def serve(host: str | None, port: int | None, config: Path | None, make_key: bool) -> None:
    """在本机开一个网页和接口：表单、批量打标、HTTP 接口。"""
    if make_key:
        key = secrets.token_urlsafe(24)
        console.print(f"钥匙（交给调用的人，只显示这一次）：{key}")
        console.print(f"写进 api_keys 的：{hashlib.sha256(key.encode()).hexdigest()}")
        return
    with extra("serve"):
        from serve.main import run
    run(config, host=host, port=port)
