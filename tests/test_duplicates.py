"""Near-identical suggestions: a set made from the corpus by edits and by forms filled in."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from classifier import SuggestionClassifier, Taxonomy
from classifier.bundle import shipped_model
from classifier.duplicates import alike, content, near_duplicate_groups
from classifier.tagging import tag_file
from tests.conftest import ROOT
from training.corpus import read_items

GREETINGS = (
    "尊敬的市长您好，",
    "领导好！",
    "你好，我想问一下，",
    "各位领导辛苦了，",
    "打扰了，说个事：",
)
ENDINGS = ("谢谢！", "希望尽快解决，谢谢。", "盼回复。", "望有关部门重视！！", "拜托了，急急急")
PHONES = ("，我的电话是13800001234", "（联系电话：010-66001234）", "，请打13912340000找我")
HOTLINES = (
    ("市民来电反映：", "，请相关部门核实处理。"),
    ("来电人称，", "。来电人要求尽快处理并回复，可电话联系。"),
    ("【12345转办】诉求内容：", "（工单已转属地街道办理）"),
    ("群众在网上留言：“", "”，请予关注。"),
)
FORMS = (
    "您好，我是{p}小区的居民，我们小区门口的{f}{a}，给大家的生活带来很大不便，希望有关部门尽快处理，谢谢！",
    "建议在{p}路与{q}路的交叉口附近看看{f}的问题，现在{a}，老人孩子经过很不方便，恳请领导重视。",
    "市民来电反映：{p}街道{q}社区的{f}{a}，多次联系物业没有结果，请相关部门核实处理并回复。",
    "{p}公园里的{f}{a}，周末人多的时候尤其明显，建议管理单位安排人员每天检查，早日改善。",
)
PLACES = (
    "幸福", "和平", "解放", "建设", "胜利", "朝阳", "团结", "东风", "光明", "新华", "青年", "长安",
)  # fmt: skip
THINGS = (
    "路灯", "红绿灯", "公交站", "健身器材", "垃圾桶", "无障碍坡道", "充电桩", "井盖", "长椅",
)  # fmt: skip
FAULTS = ("坏了半个多月没人修", "一直没有装", "数量太少不够用", "晚上噪音很大", "被占用了没人管")
LETTER = (
    "尊敬的领导您好，我是本市的一名普通居民，今天冒昧写信是想反映一个困扰我们很久的问题：{}"
    "希望领导能在百忙之中抽空了解一下情况，给我们一个满意的答复，祝您工作顺利，身体健康！"
)


def typos(text: str, rng: random.Random) -> str:
    found = list(text)
    for i in rng.sample(range(len(text)), max(1, len(text) // 35)):
        found[i] = rng.choice(("", found[i] * 2, *"的地得在再做作坐像向象哪那他她它"))
    return "".join(found)


def punctuation(text: str, rng: random.Random) -> str:
    return re.sub(
        r"[，。！？、；：,.!?]", lambda _: rng.choice(("，", " ", "！！", "。", "")), text
    )


def hotline(text: str, rng: random.Random) -> str:
    before, after = rng.choice(HOTLINES)
    return before + text.rstrip("。") + after


EDITS = (
    lambda text, rng: rng.choice(GREETINGS) + text,
    lambda text, rng: text + rng.choice(ENDINGS),
    lambda text, rng: text.rstrip("。") + rng.choice(PHONES),
    lambda text, rng: text[: int(len(text) * rng.uniform(0.65, 0.9))],
    punctuation,
    typos,
    hotline,
)


def made(texts: list[str], rng: random.Random) -> list[tuple[str, int]]:
    """(text, group): half of the texts with one to three edited copies, and different requests
    in the same form or letter."""
    rng.shuffle(texts)
    rows = []
    for group, text in enumerate(texts[:800]):
        rows.append((text, group))
        for _ in range(rng.choice((1, 1, 2, 3)) if group % 2 else 0):
            copy = text
            for edit in rng.sample(EDITS, rng.choice((1, 1, 1, 2))):
                copy = edit(copy, rng)
            rows.append((copy, group))
    others = {LETTER.format(text) for text in texts[800:1000]}
    while len(others) < 500:
        p, q = rng.sample(PLACES, 2)
        form = rng.choice(FORMS)
        others.add(form.format(p=p, q=q, f=rng.choice(THINGS), a=rng.choice(FAULTS)))
    rows += [(text, -i) for i, text in enumerate(sorted(others), 1)]
    rng.shuffle(rows)
    return rows


def pairs(groups: Sequence[object]) -> int:
    return sum(n * (n - 1) // 2 for n in Counter(groups).values())


def test_precision_and_recall_on_a_set_made_for_it() -> None:
    taxonomy = Taxonomy.load(shipped_model() / "taxonomy.toml")
    items = read_items(ROOT / "training" / "data" / "corpus.jsonl", taxonomy)
    # Shorter ones must be equal to count, which is no test.
    texts = [it.text for it in items if it.split != "train" and len(it.text) >= 12]
    rows = made(texts, random.Random(6))
    found = near_duplicate_groups(text for text, _ in rows)
    truth = [group for _, group in rows]
    right = pairs(list(zip(found, truth, strict=True)))
    assert right / pairs(found) >= 0.98
    assert right / pairs(truth) >= 0.90


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("小区门口的三路公交车早上要等四十分钟，上班老是迟到！！", True),
        ("领导好，小区门口的三路公交车早上要等四十分钟，上班老是迟到，电话13800001234", True),
        ("小区门口的三路公交车早上要等四十分种，上班老事迟到", True),
        ("小区门口的三路公交车早上要等四十", True),
        ("小区门口的八路公交车早上要等四十分钟，上班老是迟到", False),
        ("医院门口的三路公交车早上要等四十分钟，上班老是迟到", False),
        ("小区门口的三路公交车早上不要等四十分钟，上班老是迟到", False),
        ("小区", False),
        ("", False),
    ],
)
def test_what_counts_as_the_same(other: str, same: bool) -> None:
    text = "小区门口的三路公交车早上要等四十分钟，上班老是迟到"
    assert alike(content(text), content(other)) is same
    groups = near_duplicate_groups([text, other])
    assert (groups[0] == groups[1]) is same


@pytest.mark.parametrize(
    ("text", "other", "same"),
    [
        ("楼道里都是垃圾，建议每天打扫一次", "楼道里都是垃圾，建议每天打扫三次", False),
        ("加装电梯一楼的住户都表示赞成", "加装电梯一楼的住户都表示反对", False),
        ("加装电梯一楼的住户都表示支持，谢谢", "加装电梯一楼的住户都表示反对，盼复", False),
        ("加装电梯一楼的住户都表示赞成", "加装电梯一楼的住户都表示", True),
        ("加装电梯一楼的住户都表示赞成", "加装电梯一楼的住户，盼领导尽快答复", True),
        ("加装电梯一楼的住户都表示赞成，我的电话是", "加装电梯一楼的住户都表示赞成，拜托", True),
        ("幸福小区A区垃圾没人清理，夏天很臭", "幸福小区B区垃圾没人清理，夏天很臭", False),
        ("幸福小区A区垃圾没人清理，夏天很臭", "幸福小区a区垃圾没人清理，夏天很臭", True),
        ("人民路口朝南走的绿灯时间太短", "人民路口朝南走的绿灯时间太长", False),
        ("实验小学门口放学时车停得乱七八糟", "实验中学门口放学时车停得乱七八糟", False),
    ],
)
def test_ends_letters_and_opposites(text: str, other: str, same: bool) -> None:
    assert alike(content(text), content(other)) is same
    groups = near_duplicate_groups([text, other])
    assert (groups[0] == groups[1]) is same


NOTICE = "根据关于开展城市管理精细化工作的通知要求，本人作为业主代表，就居民反映的问题作如下说明，"


@pytest.mark.parametrize("times", [8, 16, 30])
def test_long_letters_with_one_form_in_front(times: int) -> None:
    form = NOTICE * times
    letter, other = form + "三号楼的电梯坏了一个月没人修", form + "东边的河水发黑发臭鱼都死光了"
    again = f"领导好，{letter}，盼回复"
    assert near_duplicate_groups([letter, other, again]) == [0, 1, 0]
    assert near_duplicate_groups([letter, letter[:350]]) == [0, 0]


def test_texts_without_content_are_alone() -> None:
    assert near_duplicate_groups(["", "！！", "", "路灯不亮", "路灯不亮。", "您好", "您好"]) == [
        0, 1, 2, 3, 3, 5, 5,
    ]  # fmt: skip
    assert near_duplicate_groups([]) == []


@pytest.mark.parametrize("suffix", [".jsonl", ".xlsx", ".csv", ".parquet"])
def test_columns_of_groups(tmp_path: Path, clf: SuggestionClassifier, suffix: str) -> None:
    texts = [
        "老年卡在哪儿办",
        "路灯不亮",
        "您好，老年卡在哪儿办？",
        None,
        "路灯不亮",
        "老年卡在哪儿办!",
    ]
    source, whole, again = (tmp_path / name for name in ("a.jsonl", f"b{suffix}", f"c{suffix}"))
    lines = [json.dumps({"内容": text}, ensure_ascii=False) for text in texts]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = tag_file(source, clf, output=whole, duplicates=True)
    assert report.repeated == {1: 3, 2: 2}
    if suffix == ".jsonl":
        rows = [json.loads(line) for line in whole.read_text("utf-8").splitlines()]
        assert list(rows[0])[-4:] == ["模型", "重复组", "同组条数", "原判"]
        found = [(row["重复组"], row["同组条数"]) for row in rows]
        assert found == [(1, 3), (2, 2), (1, 3), (None, None), (2, 2), (1, 3)]
    tag_file(source, clf, output=again, duplicates=True)
    assert again.read_bytes() == whole.read_bytes()
