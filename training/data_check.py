"""What was read, shown before training starts: counts, duplicates, contradictions, the split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from classifier.errors import InputError
from classifier.taxonomy import Taxonomy
from classifier.text import normalise
from training.corpus import (
    MOST_ROWS,
    Item,
    Say,
    read_items,
    split_by_group,
    too_many,
    with_groups,
)

LEAST = 8  # examples below which a class cannot be learned
LEAST_CALIBRATION = 8
FEW = 1000  # groups below which none are set aside to calibrate on
HELD_OUT = ("dev", "test")
_TAUGHT = ("train", "")
_TEST_SHARE, _TEST_SEED = 0.15, 2017  # not the run's seed: another seed is tested on the same rows
# 150 without a mistake are what it takes to promise an error of 2 %.
_CALIBRATION_SHARE, _CALIBRATION_MOST, _CALIBRATION_WISH = 0.1, 0.25, 200
_SHOWN = 20  # contradictions listed


@dataclass(frozen=True)
class Parts:
    """Who learns from what. Near-duplicates are all in one part.

    Attributes:
        train: what the weights are fitted to.
        validation: what chooses the best checkpoint.
        calibration: what sets temperature and lanes; without it, as where labels are few, that is
            done on the training part, each item scored by a model that has not seen it.
        test: what compares the new model with the old one.
        merged: classes whose examples became those of the abstaining class, as asked for.
    """

    train: list[Item]
    validation: list[Item]
    calibration: list[Item]
    test: list[Item]
    merged: frozenset[str] = frozenset()

    @property
    def known(self) -> list[Item]:
        """What the n-grams learn from: training and validation."""
        return self.train + self.validation


def read_parts(
    files: Sequence[Path],
    taxonomy: Taxonomy,
    *,
    say: Say,
    seed: int,
    validation_share: float,
    text: str | None = None,
    label: str | None = None,
    merge_rare: bool = False,
) -> Parts:
    """Read labelled files, check them, say what they hold, and split them.

    Rows whose split is ``dev`` or ``test`` test, rows whose split is
    ``calibration`` calibrate; what no row is marked for is split off by group.

    Raises:
        InputError: a file, column or label cannot be used, or there is not
            enough to learn from; the message says what to do.
    """
    # A file may be named more than once, to count more in training; not in what is measured.
    named = Counter(files)
    read = {file: read_items(file, taxonomy, text=text, label=label, say=say) for file in named}
    items = [it for found in read.values() for it in found]
    if len(items) > MOST_ROWS:
        raise InputError(too_many(f"这 {len(named)} 个文件一共", len(items)))
    _say_summary(items, say)
    items = with_groups(items)
    wrong = contradictions([it for it in items if it.split not in HELD_OUT])
    for line in _contradiction_lines(wrong, taxonomy):
        say(line)
    dropped = {it.where for found in wrong for it in found}
    items = [it for it in items if it.where not in dropped]
    merged: frozenset[str] = frozenset()
    if merge_rare:
        items, merged = _merge_rare(items, taxonomy, say)
    check([it for it in items if it.split in _TAUGHT], taxonomy)
    parts = split(items, seed, validation_share, say)
    times = {it.where: named[file] for file, found in read.items() for it in found}
    train = [it for it in parts.train for _ in range(times[it.where])]
    _say_split(replace(parts, train=train, merged=merged), taxonomy, say)
    return replace(parts, train=train, merged=merged)


def _say_summary(items: Sequence[Item], say: Say) -> None:
    lengths = [len(it.full_text) for it in items]
    exact = len(items) - len({normalise(it.full_text) for it in items})
    say(
        f"共 {len(items)} 条，{len({it.primary for it in items})} 类，完全重复 {exact} 条；"
        f"字数中位数 {median(lengths):.0f}，最长 {max(lengths)}"
    )


def contradictions(items: Sequence[Item]) -> list[list[Item]]:
    """Items that have the same text but not the same class, together."""
    by_text: dict[str, list[Item]] = {}
    for it in items:
        by_text.setdefault(normalise(it.full_text), []).append(it)
    return [found for found in by_text.values() if len({it.primary for it in found}) > 1]


def _contradiction_lines(wrong: Sequence[Sequence[Item]], taxonomy: Taxonomy) -> Iterator[str]:
    if not wrong:
        return
    names = {c.id: c.name for c in taxonomy}
    yield (
        f"有 {len(wrong)} 条建议文字相同、类别却不同，共 {sum(map(len, wrong))} 行，"
        "这次都不用，请核对："
    )
    for found in wrong[:_SHOWN]:
        yield "  " + "；".join(f"{it.where} {names[it.primary]}" for it in found[:6])
    if len(wrong) > _SHOWN:
        yield f"  还有 {len(wrong) - _SHOWN} 条"


def _distinct(items: Sequence[Item]) -> Counter[str]:
    """Examples of each class; copies count once."""
    return Counter(c for c, _ in {(it.primary, normalise(it.full_text)) for it in items})


def _merge_rare(
    items: Sequence[Item], taxonomy: Taxonomy, say: Say
) -> tuple[list[Item], frozenset[str]]:
    if not taxonomy.abstain:
        raise InputError("分类表里没有 abstain（“其他”），--merge-rare 不知道并到哪里")
    counts = _distinct([it for it in items if it.split in _TAUGHT])
    rare = [c for c in taxonomy if 0 < counts[c.id] < LEAST and c.id != taxonomy.abstain]
    ids = frozenset(c.id for c in rare)
    if rare:
        names = "、".join(f"{c.name}（{counts[c.id]} 条）" for c in rare)
        other = taxonomy.categories[taxonomy.index(taxonomy.abstain)].name
        say(f"例子少于 {LEAST} 条的类并入“{other}”：{names}")
    merged = [replace(it, primary=taxonomy.abstain) if it.primary in ids else it for it in items]
    return merged, ids


def check(items: Sequence[Item], taxonomy: Taxonomy) -> None:
    """Whether these can be learned from.

    Raises:
        InputError: one class only, copies only, or a class with too few examples.
    """
    counts = _distinct(items)
    if not items:
        raise InputError("没有可以用来训练的行：split 全是 dev、test、calibration，或都互相矛盾")
    if len(counts) < 2:
        only = next(c.name for c in taxonomy if counts[c.id])
        raise InputError(f"标注里只有一个类别（{only}），至少要有两类才能训练")
    if len({it.group for it in items}) < LEAST:
        raise InputError(
            f"{len(items)} 行里几乎都是同一条建议的重复，不重样的不到 {LEAST} 条，没法训练"
        )
    few = [c for c in taxonomy if 0 < counts[c.id] < LEAST]
    if few:
        named = "，".join(f"{c.name} {counts[c.id]} 条" for c in few)
        other = taxonomy.abstain
        merged = sum(counts[c] for c in {other, *(c.id for c in few)})
        merge = other and {other} != {c.id for c in few} and merged >= LEAST
        raise InputError(
            f"这些类别的例子（去掉重复）少于 {LEAST} 条，学不会：{named}。请补几条"
            + ("，或加 --merge-rare 并进“其他”再训练" if merge else "，或去掉这些行再训练")
        )


def split(items: Sequence[Item], seed: int, validation_share: float, say: Say) -> Parts:
    """Items with their groups → parts, whole groups together.

    Raises:
        InputError: too few to calibrate on.
    """
    known = [it for it in items if it.split in ("", "train")]
    calibration = _unlike([it for it in items if it.split == "calibration"], known)
    test = [it for it in items if it.split in HELD_OUT]
    if copies := sum(it.split == "calibration" for it in items) - len(calibration):
        say(f"校准行里有 {copies} 条和训练的近乎重复，不用来校准")
    if test:
        fresh = _unlike(test, known + calibration)
        if len(fresh) < len(test):
            say(f"测试行里有 {len(test) - len(fresh)} 条和训练的近乎重复，不用来比较")
        test = fresh
    if not test:
        known, test = split_by_group(known, _TEST_SHARE, _TEST_SEED)
    if not calibration and len({it.group for it in known}) < FEW:
        return Parts(known, [], [], test)
    if not calibration:
        share = max(_CALIBRATION_SHARE, min(_CALIBRATION_MOST, _CALIBRATION_WISH / len(known)))
        known, calibration = split_by_group(known, share, seed + 1)
    if len(calibration) < LEAST_CALIBRATION:
        raise InputError(
            f"标注太少：分给校准的只有 {len(calibration)} 条，至少要 {LEAST_CALIBRATION} 条。"
            "请多标几行 calibration，或都不标，由程序来分"
        )
    return Parts(*split_by_group(known, validation_share, seed), calibration, test)


def _unlike(items: Sequence[Item], others: Sequence[Item]) -> list[Item]:
    """Those of `items` that are no near-duplicates of `others`."""
    groups = {it.group for it in others}
    return [it for it in items if it.group not in groups]


def _say_split(parts: Parts, taxonomy: Taxonomy, say: Say) -> None:
    groups = [it.group for it in parts.known + parts.calibration + parts.test]
    say(f"近乎重复的 {len(groups) - len(set(groups))} 条，同一组不会分到两边")
    taught = f"训练 {len(parts.train)}，验证 {len(parts.validation)}，校准 {len(parts.calibration)}"
    if not parts.calibration:
        taught = f"训练和校准 {len(parts.train)}"
    say(f"分成：{taught}，测试 {len(parts.test)}（测试的不参加训练，用来和现在的模型比）")
    counts = Counter(it.primary for it in parts.known)
    say("训练部分：" + "，".join(f"{c.name} {counts[c.id]}" for c in taxonomy))
    if warning := missing_warning(parts, taxonomy):
        say(warning)


def missing_warning(parts: Parts, taxonomy: Taxonomy) -> str:
    """What to say of classes without any example, which no comparison can miss, or ""."""
    known = {it.primary for it in parts.known} | parts.merged
    missing = "、".join(c.name for c in taxonomy if c.id not in known)
    return missing and (
        f"注意：{missing}一个例子也没有，新模型认不出这些类，和现在的模型比也看不出来。"
        "请补几条，或用 --taxonomy 给一张没有这些类的分类表"
    )
