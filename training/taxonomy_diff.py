"""What changes between two taxonomies, and what that means for labels already given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer

from classifier.taxonomy import Category, Taxonomy
from classifier.text import normalise
from training.corpus import Item, read_items
from training.data_check import LEAST

_SHOWN = 10


@dataclass(frozen=True)
class Changes:
    """Categories of `new` against `old`; a category is the same if its id or its name is."""

    added: list[Category]
    dropped: list[Category]
    renamed: list[tuple[Category, Category]]
    rewritten: list[tuple[Category, Category]]


def changes(old: Taxonomy, new: Taxonomy) -> Changes:
    """Compare two taxonomies."""
    pairs = [(c, successor(c, new)) for c in old]
    kept = [(a, b) for a, b in pairs if b is not None]
    taken = {b.id for _, b in kept}
    return Changes(
        added=[c for c in new if c.id not in taken],
        dropped=[a for a, b in pairs if b is None],
        renamed=[(a, b) for a, b in kept if (a.id, a.name) != (b.id, b.name)],
        rewritten=[(a, b) for a, b in kept if (a.scope, a.boundaries) != (b.scope, b.boundaries)],
    )


def successor(category: Category, new: Taxonomy) -> Category | None:
    """The category of `new` with the same id, else with the same name."""
    return new.find(category.id) or new.find(category.name)


def report(
    old: Taxonomy,
    new: Taxonomy,
    files: Sequence[Path],
    *,
    text: str | None = None,
    label: str | None = None,
) -> Iterator[str]:
    """The differences as lines of text; with labelled files, which rows they concern.

    Labels may be of either taxonomy.

    Raises:
        InputError: a file, column or label cannot be used.
    """
    found = changes(old, new)
    yield f"新增 {_names(found.added)}；去掉 {_names(found.dropped)}"
    for a, b in found.renamed:
        yield f"改名：{a.name}（{a.id}）→ {b.name}（{b.id}）"
    if found.rewritten:
        yield f"范围或边界的说明改了：{_names([b for _, b in found.rewritten])}，请抽查这些类的标注"
    if not files:
        return
    both = Taxonomy("", old.categories + new.categories, "")
    read: list[str] = []
    items = [
        it for f in files for it in read_items(f, both, text=text, label=label, say=read.append)
    ]
    yield from read
    known = {c.id: successor(c, new) or c for c in both}
    # As training counts them: copies once.
    distinct = {(known[it.primary].id, normalise(it.full_text)) for it in items}
    counts = Counter(c for c, _ in distinct)
    moving = [it for it in items if known[it.primary].id not in new.ids]
    yield f"标注 {len(items)} 条：{len(items) - len(moving)} 条不用动，{len(moving)} 条要重新定类"
    yield from _moving(moving, found.dropped, new)
    few = [f"{c.name} {counts[c.id]} 条" for c in new if counts[c.id] < LEAST]
    if few:
        yield f"例子少于 {LEAST} 条，还不能训练：{'，'.join(few)}"


def _names(categories: Sequence[Category]) -> str:
    return "、".join(c.name for c in categories) or "无"


def _moving(items: Sequence[Item], dropped: Sequence[Category], new: Taxonomy) -> Iterator[str]:
    for category in dropped:
        mine = [it for it in items if it.primary == category.id]
        if not mine:
            continue
        likely = Counter(nearest([it.full_text for it in mine], new))
        guess = "、".join(f"{name} {n} 条" for name, n in likely.most_common())
        yield f"  {category.name} {len(mine)} 条，按类别说明的用词看像是：{guess}"
        more = "……" if len(mine) > _SHOWN else ""
        yield "    " + "、".join(it.where for it in mine[:_SHOWN]) + more


def nearest(texts: Sequence[str], taxonomy: Taxonomy) -> list[str]:
    """For each text, the name of the category whose description shares most of its wording."""
    described = [" ".join((c.name, c.scope, *c.boundaries)) for c in taxonomy]
    vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 3)).fit(described)
    alike = vectors.transform(texts) @ vectors.transform(described).T
    return [taxonomy.names[i] for i in alike.toarray().argmax(1)]
