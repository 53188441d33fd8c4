"""The categories of a city, read from ``taxonomy.toml``: data, never code."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from classifier.errors import InputError


@dataclass(frozen=True)
class Category:
    """One class: what it leads on, where its borders run, who is responsible."""

    id: str
    name: str
    scope: str
    office: str
    article: str = ""
    boundaries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taxonomy:
    """All categories in the order of the model's outputs.

    ``abstain`` is the id of the category that means “a person decides”.
    """

    name: str
    categories: tuple[Category, ...]
    abstain: str
    source: str = ""

    @classmethod
    def load(cls, path: str | Path) -> Taxonomy:
        """Read a ``taxonomy.toml``.

        Raises:
            InputError: the file is missing, not TOML, lacks a field, or has something
                else in it than text.
        """
        path = Path(path)
        try:
            # Notepad puts a mark before UTF-8.
            data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise InputError(f"找不到分类表 {path}") from None
        except OSError as error:
            raise InputError(f"打不开分类表 {path}（{error.strerror}），要 .toml 文件") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"分类表 {path} 不是有效的 TOML（请存为 UTF-8）：{error}") from None
        return cls._parse(data, path)

    @classmethod
    def _parse(cls, data: dict[str, Any], path: Path) -> Taxonomy:
        categories = []
        entries = data.get("category", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise InputError(f"分类表 {path} 的每一类要写在单独的 [[category]] 下面")
        for key in ("name", "abstain", "source"):
            if not isinstance(data.get(key, ""), str):
                raise InputError(f"分类表 {path} 的 {key} 要写成引号里的字")
        for n, entry in enumerate(entries, 1):
            known = {"id", "name", "scope", "office", "article", "boundaries"}
            if unknown := set(entry) - known:
                raise InputError(f"分类表 {path} 第 {n} 类有不认识的字段：{'、'.join(unknown)}")
            if lacking := {"id", "name", "scope", "office"} - set(entry):
                raise InputError(f"分类表 {path} 第 {n} 类缺少：{'、'.join(sorted(lacking))}")
            boundaries = entry.pop("boundaries", [])
            if not isinstance(boundaries, list) or not all(isinstance(b, str) for b in boundaries):
                raise InputError(f'分类表 {path} 第 {n} 类的 boundaries 要写成 ["…", "…"]')
            if odd := [key for key, value in entry.items() if not isinstance(value, str)]:
                raise InputError(f"分类表 {path} 第 {n} 类的 {'、'.join(odd)} 要写成引号里的字")
            if not entry["id"].strip() or not entry["name"].strip():
                raise InputError(f"分类表 {path} 第 {n} 类的 id 和 name 不能空着")
            categories.append(Category(**entry, boundaries=tuple(boundaries)))
        ids = [c.id for c in categories]
        names = [c.name for c in categories]
        if len(categories) < 2:
            raise InputError(f"分类表 {path} 至少要有两类（[[category]]）")
        if len(set(ids)) < len(ids) or len(set(names)) < len(names):
            raise InputError(f"分类表 {path} 里有重复的 id 或名称")
        abstain = data.get("abstain", "")
        if abstain and abstain not in ids:
            raise InputError(f"分类表 {path} 的 abstain 写的是 {abstain}，但没有这一类")
        return cls(data.get("name", path.stem), tuple(categories), abstain, data.get("source", ""))

    def __len__(self) -> int:
        return len(self.categories)

    def __iter__(self) -> Iterator[Category]:
        return iter(self.categories)

    @cached_property
    def ids(self) -> list[str]:
        return [c.id for c in self.categories]

    @cached_property
    def names(self) -> list[str]:
        return [c.name for c in self.categories]

    @cached_property
    def _by_label(self) -> dict[str, Category]:
        return {c.id: c for c in self} | {c.name: c for c in self}

    def find(self, label: str) -> Category | None:
        """The category with this id or Chinese name, or None."""
        return self._by_label.get(label.strip())

    def nearest(self, label: str) -> Category:
        """The category whose name or id looks most like `label`, for error messages."""
        label = label.strip()
        return max(
            self,
            key=lambda c: max(
                difflib.SequenceMatcher(None, label, c.name).ratio(),
                difflib.SequenceMatcher(None, label, c.id).ratio(),
                0.95 if len(label) > 1 and label in c.name else 0.0,
                0.9 if len(label) > 1 and label in c.scope else 0.0,
            ),
        )

    def index(self, label: str) -> int:
        """Position of a category in the model's outputs.

        Raises:
            InputError: no such category; names the nearest one.
        """
        found = self.find(label)
        if found is None:
            raise InputError(f"没有“{label}”这一类，最接近的是“{self.nearest(label).name}”")
        return self.ids.index(found.id)
