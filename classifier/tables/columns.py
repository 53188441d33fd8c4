"""Which columns hold the suggestion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from classifier.errors import InputError

TEXT_COLUMNS = (
    "内容", "正文", "建议内容", "意见内容", "诉求内容", "反映内容", "留言内容", "留言详情",
    "意见建议", "来信内容", "信件内容", "来电内容", "投诉内容", "问题内容", "事项内容", "主要内容",
    "问题描述", "诉求描述", "工单内容", "详情", "text", "content", "body",
    "建议", "意见", "诉求",  # beside another, a kind or an answer
)  # fmt: skip
TITLE_COLUMNS = ("标题", "主题", "留言主题", "诉求标题", "工单标题", "title", "subject")


# 内　容, *内容, 内容（必填）: how a header is set in a table or a form, not what it says.
_DECORATION = re.compile(r"[\s\u200b\ufeff*＊:：]|[（(][必选]填[）)]")


def plain_name(name: str) -> str:
    """A column name as it is recognised."""
    return _DECORATION.sub("", name).lower() or name


def find_column(
    header: Sequence[str], wanted: str | None, usual: Iterable[str], option: str, what: str
) -> str:
    """The column called `wanted`, or the first usual one.

    Raises:
        InputError: there is none; lists the columns and the option to name one.
    """
    columns = "、".join(header)
    by_name = {plain_name(name): name for name in reversed(header)}
    if wanted is not None:
        name = wanted if wanted in header else by_name.get(plain_name(wanted))
        if name is None:
            raise InputError(f"表里没有“{wanted}”这一列。现有的列：{columns}")
        return name
    for name in usual:
        if name in by_name:
            return by_name[name]
    raise InputError(f"认不出哪一列是{what}，请用 {option} 列名 指明。现有的列：{columns}")


def split_names(wanted: str, header: Iterable[str]) -> list[str]:
    """The column names in ``标题,内容``; a name of `header` may itself have a comma."""
    if plain_name(wanted) in map(plain_name, header):
        return [wanted.strip()]
    return [w.strip() for w in wanted.replace("，", ",").split(",") if w.strip()]


def text_columns(header: Sequence[str], wanted: str | None) -> list[str]:
    """Names of the body column, or of the title and the body column.

    `wanted` is ``内容`` or ``标题,内容``; without it they are recognised by name.

    Raises:
        InputError: no such column.
    """
    if wanted is not None:
        names = split_names(wanted, header)
        if not 1 <= len(names) <= 2:
            raise InputError("--text 写一列（内容）或两列（标题,内容）")
        return [find_column(header, name, (), "--text", "正文") for name in names]
    body = find_column(header, None, TEXT_COLUMNS, "--text", "正文")
    try:
        return [find_column(header, None, TITLE_COLUMNS, "--text", "标题"), body]
    except InputError:
        return [body]
