"""The taxonomy is data; nothing else in the code lists the categories."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from classifier import InputError, Taxonomy
from classifier.bundle import shipped_model
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return Taxonomy.load(shipped_model() / "taxonomy.toml")


def test_twelve_classes_and_other(taxonomy: Taxonomy) -> None:
    assert len(taxonomy) == 13
    assert taxonomy.abstain == "other"
    assert all(c.scope and c.office and c.article and c.boundaries for c in taxonomy)


def test_no_second_list_in_the_code(taxonomy: Taxonomy) -> None:
    for folder in ("classifier", "training", "serve"):
        for file in (ROOT / folder).rglob("*.py"):
            text = re.sub(r'""".*?"""', "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
            assert sum(name in text for name in taxonomy.names) <= 2, file


def test_find_and_nearest(taxonomy: Taxonomy) -> None:
    assert taxonomy.find("微交通") is taxonomy.find(" transport ")
    assert taxonomy.find("交通") is None
    assert taxonomy.nearest("交通类").name == "微交通"
    assert taxonomy.nearest("公园").name == "微城管"
    assert taxonomy.nearest("养老").name == "微养老"  # not 养老保险 in the scope of another
    assert taxonomy.nearest("保障").name == "微保障"
    assert taxonomy.index("education") == 0
    with pytest.raises(InputError, match="微体育"):
        taxonomy.index("微体肓")


GOOD = '[[category]]\nid="a"\nname="甲"\nscope="x"\noffice="y"\n'


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ("not toml =", "TOML"),
        (GOOD, "至少要有两类"),
        (GOOD * 2, "重复"),
        (GOOD + '[[category]]\nid="b"\n', "缺少"),
        (GOOD + 'colour="red"\n', "不认识的字段"),
        ("category=5", r"\[\[category\]\]"),
        ("category=[1, 2]", r"\[\[category\]\]"),
        (GOOD.replace('"a"', "1"), "id 要写成引号里的字"),
        (GOOD.replace('"a"', '" "'), "不能空着"),
        (GOOD + "boundaries=3\n", "boundaries"),
        ('name=["a"]\n' + GOOD, "name 要写成引号里的字"),
        ('abstain="z"\n' + GOOD + GOOD.replace('"a"', '"b"').replace("甲", "乙"), "abstain"),
    ],
)
def test_bad_taxonomies_get_advice(tmp_path: Path, content: str, advice: str) -> None:
    (tmp_path / "t.toml").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=advice):
        Taxonomy.load(tmp_path / "t.toml")


def test_a_taxonomy_from_notepad(tmp_path: Path) -> None:
    other = GOOD.replace('"a"', '"b"').replace("甲", "乙")
    (tmp_path / "t.toml").write_text(GOOD + other, encoding="utf-8-sig")
    assert Taxonomy.load(tmp_path / "t.toml").names == ["甲", "乙"]


def test_missing_taxonomy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="打不开分类表"):
        Taxonomy.load(tmp_path)
    with pytest.raises(InputError, match="找不到分类表"):
        Taxonomy.load(tmp_path / "none.toml")
