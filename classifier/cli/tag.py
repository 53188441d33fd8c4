"""The commands that tag tables, and ``info``."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table as Grid
from rich.text import Text

from classifier import SuggestionClassifier, Taxonomy
from classifier.cli.common import FILE, console, told_aside, told_unread, without_locks
from classifier.corrections import collect
from classifier.decision import AUTO, REVIEW, percent
from classifier.errors import ROWS_TO_CHECK, InputError, WeileiError
from classifier.privacy import OPTIONAL, find
from classifier.registry import model_in_use
from classifier.tables import Source
from classifier.tagging import LANES, Report, expand, once, tag_file


class _Tag(click.Command):
    """``--mask`` may stand alone; click would take the file behind it for its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ends = args.index("--") if "--" in args else len(args)
        for i, arg in enumerate(args[:ends]):
            if arg == "--mask" and not (i + 1 < ends and _is_kinds(args[i + 1])):
                args[i] = "--mask="
        return super().parse_args(ctx, args)


def _is_kinds(word: str) -> bool:
    """Whether a word after ``--mask`` says what else to mask: it is not a file, nor named so."""
    if set(_words(word)) <= set(OPTIONAL):
        return True
    return not (word.startswith("-") or Path(word).suffix or Path(word).exists())


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.replace("，", ",").split(",") if word.strip()]


@click.command(cls=_Tag, options_metavar="[选项]")
@click.argument(
    "files", nargs=-1, required=True, type=FILE, callback=without_locks, metavar="文件或文件夹…"
)
@click.option("-o", "--output", type=FILE, help="写成哪个文件；有几个输入时写进哪个文件夹。")
@click.option("--text", help="正文所在的列；标题和正文分两列时写“标题,内容”。")
@click.option("--model", type=FILE, help="模型文件夹；不写就用正在用的那个（见 weilei models）。")
@click.option("--taxonomy", type=FILE, help="改过主办单位的分类表 taxonomy.toml。")
@click.option("--max-error", type=float, help="自动通道承诺的错误率，例如 0.02 表示 2%。")
@click.option(
    "--mask",
    is_flag=False,
    flag_value="",
    metavar="[names,addresses]",
    help="隐去手机号、身份证、银行卡、车牌、护照、邮箱；后面可写还要隐去的："
    "names 姓名，addresses 门牌（认不太准）。",
)
@click.option(
    "--duplicates", is_flag=True, help="近乎相同的（一事多投）编成组，加两列“重复组”“同组条数”。"
)
@click.option("--resume", is_flag=True, help="接着上次被中断的做。")
@click.option("-q", "--quiet", is_flag=True, help="只在出错时说话。")
def tag(
    files: tuple[Path, ...],
    output: Path | None,
    text: str | None,
    model: Path | None,
    taxonomy: Path | None,
    max_error: float | None,
    mask: str | None,
    duplicates: bool,
    resume: bool,
    quiet: bool,
) -> None:
    """给表格里的建议打上类别，结果写在旁边的“…-打标.xlsx”。

    能读 .xlsx .xls .csv .tsv .jsonl .parquet，也能给一个文件夹。
    """
    also = _words(mask or "")
    find("", also)  # an unknown word should not wait for the end of the first file
    inputs, failed = _inputs(files)
    try:
        into = output is not None and output.is_dir()
    except OSError as error:
        raise _told(error, Path(error.filename or files[0])) from None
    if output and len(inputs) > 1:
        if not into:
            raise InputError(f"有几个输入时 -o 要是一个已有的文件夹，没有 {output}")
        if twice := [name for name, n in Counter(f.name for f in inputs).items() if n > 1]:
            raise InputError(
                f"有几个输入都叫 {'、'.join(twice)}，写进一个文件夹会互相覆盖，请分开打标"
            )
    classifier = SuggestionClassifier.from_pretrained(model, taxonomy=taxonomy, max_error=max_error)
    faulty = False
    for file in inputs:
        with _progress(quiet) as bar:
            task = bar.add_task(f"打标 {file.name}", total=None)
            try:
                report = tag_file(
                    file,
                    classifier,
                    output=output,
                    others=inputs if output else (),
                    text=text,
                    masked=None if mask is None else also,
                    duplicates=duplicates,
                    resume=resume,
                    started=partial(_begin, bar, task),
                    progress=partial(bar.advance, task),
                )
            except (WeileiError, OSError) as error:
                told = _told(error, file)
                if len(inputs) == 1 and not failed:
                    raise told from None
                failed = True
                click.echo(f"出错了：{told}", err=True)
                continue
        faulty = faulty or bool(report.faulty or report.unread)
        if not quiet:
            _show(report)
        else:
            for line in _problems(report, report.faulty):
                click.echo(line, err=True)
    if failed:
        raise InputError("有的文件没有打成，原因见上面；其余的都写好了")
    if faulty:
        click.get_current_context().exit(ROWS_TO_CHECK)


def _inputs(files: Collection[Path]) -> tuple[list[Path], bool]:
    """All tables to tag, and whether one of several arguments had none, which is told."""
    inputs: list[Path] = []
    failed = False
    for path in files:
        try:
            inputs += expand([path])
        except (InputError, OSError) as error:
            told = _told(error, path)
            if len(files) == 1:
                raise told from None
            failed = True
            click.echo(f"出错了：{told}", err=True)
    if not inputs:
        raise InputError("都没有打成，原因见上面")
    return once(inputs), failed


def _told(error: WeileiError | OSError, path: Path) -> WeileiError:
    """What went wrong, for a reader: the library says it itself, for the system it is said here."""
    if isinstance(error, WeileiError):
        return error
    if isinstance(error, PermissionError):
        return InputError(f"没有权限读写 {path}，请换一个用户，或复制到自己的文件夹再试")
    if error.errno == errno.ENAMETOOLONG:
        return InputError(f"文件名太长：{path}，请改短再试")
    return InputError(f"读写不了 {path}（{error.strerror or error}），请检查文件和磁盘再试")


def _begin(bar: Progress, task: TaskID, source: Source, done: int) -> None:
    bar.update(task, total=source.total, completed=done)


def _problems(report: Report, kinds: Iterable[str]) -> Iterator[str]:
    if report.unread:
        sheets = "、".join(report.unread)
        yield f"{report.place}：另外的工作表里也有建议，没有打标：{sheets}。请另存成单独的文件"
    for what in kinds:
        rows, count = report.problems[what], report.problem_counts[what]
        more = "等" if count > len(rows) else ""
        yield f"{report.place} 第 {'、'.join(map(str, rows))} 行{more}共 {count} 行：{what}"


def _show(report: Report) -> None:
    console.print(
        f"{report.file}：{report.total} 行，正文取自“{'＋'.join(report.columns)}”列，{report.note}"
    )
    grid = Grid("行", "类别", "置信度", "通道", box=None, header_style="bold", expand=True)
    grid.add_column("建议", no_wrap=True, overflow="ellipsis", ratio=1)
    for i, (text, added) in enumerate(report.sample, 1):
        style = "" if added[3] == LANES[AUTO] else "yellow"
        short = " ".join(text.split())[:200]
        grid.add_row(str(i), added[0], f"{added[2]:.2f}", added[3], short, style=style)
    console.print(grid)
    if report.total > len(report.sample):
        console.print(f"……共 {report.total} 行，这里只显示前 {len(report.sample)} 行")
    for line in _problems(report, report.problems):
        console.print(line)
    console.print("合计：" + "，".join(f"{name} {n}" for name, n in report.classes.most_common()))
    if report.repeated:
        console.print(f"近乎相同的 {report.repeated.total()} 条，分 {len(report.repeated)} 组")
    auto, review = report.lanes[LANES[AUTO]], report.lanes[LANES[REVIEW]]
    console.print(f"自动 {auto} 条，人工 {review} 条（底色标黄）。已写入 {report.output}")
    if report.aside:
        console.print(f"那里原来的结果和这次的不同（也许有人改正过），改名为 {report.aside.name}")


@click.command(options_metavar="[选项]")
@click.argument(
    "files", nargs=-1, required=True, type=FILE, callback=without_locks, metavar="打标过的文件…"
)
@click.option("-o", "--output", required=True, type=FILE, help="写成哪个 .jsonl。")
@click.option("--text", help="正文所在的列；标题和正文分两列时写“标题,内容”。")
@click.option("--taxonomy", type=FILE, help="打标时用的分类表 taxonomy.toml，如果改过类别名称。")
def corrections(
    files: tuple[Path, ...], output: Path, text: str | None, taxonomy: Path | None
) -> None:
    """把打标结果里人改正过的类别收成训练数据。"""
    categories = Taxonomy.load(taxonomy or model_in_use() / "taxonomy.toml")
    found = collect(files, categories, output, text=text)
    console.print(
        f"看了 {found.seen} 行，改正过的 {found.corrected} 行，已写入 {output}，"
        "可以用 weilei train 训练"
    )
    told_aside(found.aside)
    told_unread("另外的工作表也是打标的结果，没有看", found.unread)


def _progress(quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(),
        TextColumn("还要"), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True, disable=quiet,
    )  # fmt: skip


class _Rate(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} 条/秒" if task.speed else "")


@click.command(options_metavar="[选项]")
@click.argument("model", type=FILE, required=False, metavar="[模型文件夹]")
def info(model: Path | None) -> None:
    """显示模型的编号、类别、主办单位和承诺。"""
    classifier = SuggestionClassifier.from_pretrained(model)
    bundle = classifier.bundle
    console.print(f"模型 {bundle.id}\n位置 {bundle.path}\n分类表 {classifier.taxonomy.name}")
    promise = bundle.calibration.max_error
    console.print(
        f"承诺 自动通道错误率不超过 {percent(promise)}，对应的把握门槛 {classifier.threshold:.3f}"
    )
    grid = Grid("id", "类别", "主办单位", "主办范围", box=None, header_style="bold")
    for c in classifier.taxonomy:
        grid.add_row(c.id, c.name, c.office, c.scope)
    console.print(grid)
