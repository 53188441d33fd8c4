"""The command ``weilei``. Help and errors are Chinese; each error has its exit code."""

from __future__ import annotations

import sys
import warnings
from io import TextIOWrapper

import click

from classifier import __version__
from classifier.cli.labels import suggest_labels, taxonomy
from classifier.cli.models import models
from classifier.cli.serve import serve
from classifier.cli.tag import corrections, info, tag
from classifier.cli.train import evaluate, export, train
from classifier.errors import WeileiError
from classifier.locale import chinese_click


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    options_metavar="[选项]",
    subcommand_metavar="命令 …",
)
@click.version_option(__version__, "--version", message="微类 %(version)s", help="显示版本号。")
def cli() -> None:
    """微类：把群众意见建议分到“微”类，拿不准的交给人。"""


for command in (
    tag,
    serve,
    corrections,
    suggest_labels,
    train,
    models,
    taxonomy,
    evaluate,
    export,
    info,
):
    cli.add_command(command)


def main() -> None:
    """Entry point of the command ``weilei``."""
    chinese_click()
    # What openpyxl leaves out of a workbook (fonts, drop-downs) is nothing to the reader.
    warnings.filterwarnings("ignore", module="openpyxl")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name of a file or column may be unprintable
            stream.reconfigure(errors="replace")
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(
            "已中断，结果还没有写出。接着做：打标加 --resume，训练再运行一次同样的命令。", err=True
        )
        sys.exit(130)
    except WeileiError as error:
        click.echo(f"出错了：{error}", err=True)
        sys.exit(error.exit_code)
