"""Find and mask personal data in what citizens write.

Numbers are told apart by their own rules (check digits of ID cards, GB 11643;
Luhn for bank cards), so that hotlines, sums of money and case numbers stay.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from unicodedata import category

from classifier.errors import InputError

# Full-width forms, other spaces and all the dashes that input methods make.
_WIDE = {
    **{0xFF01 + i: chr(0x21 + i) for i in range(94)},
    **dict.fromkeys(map(ord, "\u3000\u00a0"), " "),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63"), "-"),
}
PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_SURNAMES = (
    "欧阳|上官|司马|诸葛|东方|皇甫|尉迟|公孙|慕容|令狐|司徒|夏侯|"
    "[王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任"
    "沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔"
    "向汤温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单]"
)
_UNSEEN = ("Cc", "Cf", "Cs")  # Unicode categories of control characters, marks and half characters
_NUMERAL = r"(?:\d{1,4}|[一二三四五六七八九十百]{1,4}|[A-Za-z])"
# A number does not begin inside a decimal such as 116.138…, but after a list
# number (1.138…) or another phone it does; nor is it a sum of money, while
# 元旦, 元宵 and 元月 are dates.
_MONEY = ("[¥￥$]", "人民币", "[Rr][Mm][Bb]", "[Cc][Nn][Yy]")
START = r"(?=[\d+(])(?<!\d)(?<!(?<!\d{4})\d{3}\.)" + "".join(
    f"(?<!{sign})(?<!{sign}[ :])" for sign in _MONEY
)
END = (
    r"(?!\d|\.\d\d(?!\d| ?(?:小时|[时点日号月年岁栋幢楼]))"  # 24小时 behind a full stop is no cents
    r"|(?:\.\d+)? ?[十百千万亿余多]{0,3}(?:[美欧日港]?元(?![旦宵月])|块钱|人民币))"
)
_MOST_LOOKED_AT = 10_000  # pieces of personal data that one passage may stand upon
_GAP = r"[- ]{0,3}"  # as in "0571 - 87654321" or, typed in Chinese, "0571——87654321"
_AREA = r"(?:10|2\d|[3-9]\d{2})"  # without the leading 0
_SUBSCRIBER = rf"[2-8]\d{{2,3}}{_GAP}\d{{4}}"
# Without an area code, 2023-2024 is a range of years and 400-820-8820 a hotline.
LOCAL = (
    r"(?!20\d\d[- ]{1,3}20\d\d(?!\d)|[48]00(?:[- ]?\d){7}(?!\d))"
    rf"{_SUBSCRIBER}(?:[-转]\d{{1,5}})?"
)
_DAY = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_DATE = rf"(?:19|20)\d{{2}}{_DAY}(?!\d)"
# What stands behind 电话: numbers, those found before (\0) among them, with notes: (座机).
_NUMBER = rf"(?:{LOCAL}{END}|\0+)"
_NOTE = r"(?:\([^()\d\0]{1,8}\))?"
_JOINT = "[、/|,; 或和及与]{1,3}"
_ROW = (
    rf"{_NOTE}[-: .]{{0,3}}\(?{_NUMBER}"
    rf"(?:\)?{_NOTE}{_JOINT}{_NOTE}\(?(?!{_DATE}){_NUMBER}){{0,20}}"
)
# Eleven digits as people group them; two groups with a point between are a decimal.
_MOBILE = (
    rf"(?:\d{{3}}(?:{_GAP}\d{{4}}){{2}}|\d{{5}}[- ]\d{{6}}|\d{{7}}[- ]\d{{4}}"
    r"|\d{3}[-. ]\d{3}[-. ]\d{5}|\d{4}[-. ]\d{3}[-. ]\d{4}|\d{4}[-. ]\d{4}[-. ]\d{3}"
    r"|\d{3}\.\d{4}\.\d{4})"
)


@dataclass(frozen=True)
class Found:
    """A piece of personal data: what it is and where, as ``text[start:end]``."""

    kind: str
    start: int
    end: int


_ID_DIGITS = re.compile(rf"[1-9]\d{{5}}(?:19|20)\d{{2}}{_DAY}\d{{3}}[\dXx]")


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _is_id_card(text: str) -> bool:
    """The date and the check digit of an 18-digit ID number (GB 11643, ISO 7064 mod 11-2)."""
    text = re.sub(r"[- ]", "", text)
    if not _ID_DIGITS.fullmatch(text):
        return False
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(d) * w for d, w in zip(text[:17], weights, strict=True))
    return "10X98765432"[total % 11] == text[17].upper()


def _is_bank_card(text: str) -> bool:
    """The check digit of a card number (Luhn, ISO/IEC 7812)."""
    number = [int(d) for d in reversed(_digits(text))]
    doubled = [d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(number)]
    return len(set(number)) > 1 and sum(doubled) % 10 == 0


def _is_plate(text: str) -> bool:
    """Small letters stand on a plate only among digits; 最新mate60 is a telephone."""
    return not any(c.islower() for c in text) or len(_digits(text)) >= 4


def _always(text: str) -> bool:
    return True


@dataclass(frozen=True)
class Rule:
    """How a kind of personal data looks, and the sign put in its place.

    With `each`, what `pattern` finds is a row of them, and `each` finds the single ones in it.
    """

    kind: str
    sign: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool] = _always
    each: re.Pattern[str] | None = None


# In this order: where two overlap, the first one counts. A group named
# "it" is the personal part, what stands around it stays.
_RULES = (
    Rule(
        "email", "〔邮箱〕",
        re.compile(r"[A-Za-z0-9][\w.+-]{0,63}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}", re.ASCII),
    ),
    Rule(
        "id_card", "〔身份证〕",
        re.compile(r"(?<!\d)[1-9](?:[- ]?\d){16}[- ]?[\dXx](?!\d)"),
        _is_id_card,
    ),
    Rule(
        "bank_card", "〔账号〕",
        re.compile(
            rf"{START}[3-69](?:\d{{3}}(?:[ -]?\d{{4}}){{3}}(?:[ -]?\d{{1,3}})?"
            rf"|\d{{5}}[ -]?\d{{10,13}}){END}"
        ),
        _is_bank_card,
    ),
    Rule(
        "mobile", "〔手机号〕",
        re.compile(rf"{START}(?:(?:\+|00)?86{_GAP})?0?(?=1[3-9]){_MOBILE}{END}"),
    ),
    Rule(
        "landline", "〔电话〕",
        re.compile(
            # Not the end of a case number, 2024-0301-2345678.
            rf"{START}(?<!\d-)(?:\(0{_AREA}\)|0{_AREA}"
            rf"|\(?(?:\+|00)86\)?{_GAP}(?:\(0?{_AREA}\)|0?{_AREA})){_GAP}"
            rf"{_SUBSCRIBER}(?:[-转]\d{{1,5}})?{END}"
        ),
    ),
    Rule(
        "landline", "〔电话〕",
        re.compile(rf"(?:电话|座机|固话|联系方式)(?:号码)?(?:是|为)?(?P<it>{_ROW})"),
        each=re.compile(rf"{LOCAL}(?:{_JOINT}{LOCAL})*"),
    ),
    Rule(
        "plate", "〔车牌〕",
        re.compile(
            rf"(?:[{PROVINCES}] ?[A-HJ-Z][·•. -]?"
            r"(?:\d{5}[A-HJK]|[A-HJK][A-HJ-NP-Z0-9]\d{4}"
            r"|(?=[A-HJ-NP-Z]{0,3}\d)[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳领])"
            r"(?:警(?![\u4e00-\u9fff]))?"
            rf"|(?<![A-Z])WJ ?[{PROVINCES}][·•. -]?[A-Z]?\d{{4,5}}|[军空海][A-Z][·•. -]?\d{{5}}"
            # Of an embassy; 使123456人受益 is none.
            r"|使[0-3]\d{2}[·•]?\d{3}(?!\.\d|[余多万亿元人名个户家次辆吨米平件]))"
            r"(?![A-Za-z0-9])",
            re.IGNORECASE,
        ),
        _is_plate,
    ),
    Rule(
        "passport", "〔护照〕",
        re.compile(
            # E20240305 is the number of a case.
            rf"(?<![A-Za-z0-9])(?:[EG](?!{_DATE})\d{{8}}|(?:E[A-Z]|PE)\d{{7}})(?![A-Za-z0-9])"
            r"|(?:护照|通行证)(?:号码?)?(?:是|为)?[: ]?(?P<it>[A-Za-z]{1,2}\d{7,10})(?![A-Za-z0-9])"
        ),
    ),
    Rule(
        "names", "〔姓名〕",
        re.compile(
            rf"(?:我叫|我是|本人|姓名|联系人|名字是|名叫|户主|业主)(?:是|为)?[: ]?"
            # 联系人方式 is the name of a column.
            rf"(?P<it>(?!方式|单位|关系|金额)(?:{_SURNAMES})[\u4e00-\u9fff]{{1,2}}?)(?=[，,。；;、！!（(\s\d\0]|$|住|电话|身份证|今年|男|女)"
        ),
    ),
    Rule(
        "names", "〔姓名〕",
        re.compile(rf"(?<![\u4e00-\u9fff])(?P<it>{_SURNAMES})(?=先生|女士|小姐)"),
    ),
    Rule(
        "addresses", "〔住址〕",
        re.compile(
            rf"{_NUMERAL}(?:号楼|栋|幢|座|号院|弄|号)(?:{_NUMERAL}(?:号楼|栋|幢|号|单元|楼|层)){{0,3}}"
            rf"{_NUMERAL}(?:室|户|房)(?![楼线路])"
            rf"|{_NUMERAL}(?:号楼|栋|幢|座)(?:{_NUMERAL}单元)(?:\d{{3,4}})?"
            rf"|{_NUMERAL}(?:号楼|栋|幢|座)\d{{3,4}}(?!\d|[年元米路平])"
            r"|(?<!\d)\d{1,2}-\d{1,2}-\d{3,4}(?!\d)"
        ),
    ),
)  # fmt: skip
ALWAYS = ("email", "id_card", "bank_card", "mobile", "landline", "plate", "passport")
OPTIONAL = ("names", "addresses")
SIGNS = {rule.kind: rule.sign for rule in _RULES}


def find(text: str, also: Collection[str] = (), first: Sequence[Rule] = ()) -> list[Found]:
    """Personal data in `text`, in order, without overlaps.

    Args:
        also: ``names`` (after cues such as 我叫) and ``addresses`` (to the door),
            which are less certain than numbers.
        first: rules that go before the usual ones.

    Raises:
        InputError: an unknown word in `also`.
    """
    if unknown := set(also) - set(OPTIONAL):
        raise InputError(f"--mask 只认 {'、'.join(OPTIONAL)}，不认 {'、'.join(sorted(unknown))}")
    # What nobody sees, such as a zero-width space, may stand between two digits.
    places = [i for i, c in enumerate(text) if c in "\t\n\r" or category(c) not in _UNSEEN]
    plain = "".join(text[i] for i in places).translate(_WIDE)
    taken: list[Found] = []
    for rule in (*first, *_RULES):
        if rule.kind in OPTIONAL and rule.kind not in also:
            continue
        for start, end in list(_matches(rule, plain)):
            taken.append(Found(rule.kind, places[start], places[end - 1] + 1))
            plain = plain[:start] + "\0" * (end - start) + plain[end:]
    return sorted(taken, key=lambda f: f.start)


def _matches(rule: Rule, text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while match := rule.pattern.search(text, at):
        group = "it" if "it" in rule.pattern.groupindex and match["it"] is not None else 0
        start, end = match.span(group)
        at = max(match.end(), match.start() + 1)
        if rule.each:
            yield from (m.span() for m in rule.each.finditer(text, start, end))
        elif rule.check(match[group]):
            yield start, end
        else:
            at = match.start() + 1  # the real one may begin within


def mask(text: str, also: Collection[str] = (), first: Sequence[Rule] = ()) -> str:
    """`text` with each piece of personal data replaced by a sign such as 〔手机号〕.

    >>> mask("我的电话是13812345678，打12345没人接")
    '我的电话是〔手机号〕，打12345没人接'

    Args:
        also: see :func:`find`.
        first: rules that go before the usual ones.

    Raises:
        InputError: an unknown word in `also`.
    """
    return _replace(text, find(text, also, first))


def mask_passages(passages: Iterable[str], whole: str, also: Collection[str] = ()) -> list[str]:
    """Each of `passages` as it reads in the masked `whole` that it was cut out of.

    By itself a passage may hold half a number, or one whose cue (电话) was cut off.

    >>> mask_passages(["62345678请回电"], "我家电话：62345678请回电")
    ['〔电话〕请回电']

    Raises:
        InputError: an unknown word in `also`.
    """
    whole = whole.encode("utf-8", "ignore").decode()  # passages have no half characters
    personal = find(whole, also)
    return [_replace(p, _within(p, whole, personal)) for p in passages]


def _within(passage: str, whole: str, personal: list[Found]) -> list[Found]:
    """The parts of `personal` that lie in `passage`, wherever in `whole` it stands.

    One that stands there again and again is not followed for ever: all of it is masked.
    """
    parts: dict[Found, None] = {}
    ends = [found.end for found in personal]
    at, looked = -1, 0
    # Where there is nothing personal, the passage is not looked for.
    while passage and (following := bisect_right(ends, at + 1)) < len(personal):
        at = whole.find(passage, max(at + 1, personal[following].start - len(passage) + 1))
        if at < 0:
            break
        if looked > _MOST_LOOKED_AT:
            return [Found(personal[following].kind, 0, len(passage))]
        looked += 1
        for i in range(bisect_right(ends, at), len(personal)):
            found = personal[i]
            if found.start >= at + len(passage):
                break
            start, end = max(found.start - at, 0), min(found.end - at, len(passage))
            parts[Found(found.kind, start, end)] = None
            looked += 1
    return sorted(parts, key=lambda f: f.start)


def _replace(text: str, personal: list[Found]) -> str:
    out, at = [], 0
    for found in personal:
        if found.start >= at:
            out += [text[at : found.start], SIGNS[found.kind]]
        at = max(at, found.end)
    return "".join([*out, text[at:]])
