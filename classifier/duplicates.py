"""Which suggestions say the same (一事多投): sent again, forwarded, reworded here and there.

Candidates come from MinHash with locality-sensitive hashing (Broder 1997; bands
as in Leskovec et al., Mining of Massive Datasets, ch. 3); how the two then differ
tells whether they are one suggestion, since one form filled in for two places is
as similar as one letter with slips. What is kept of a text is 20 numbers and at
most 900 characters.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, permutations

import numpy as np

from classifier.errors import MissingExtra
from classifier.text import normalise

try:
    from rapidfuzz.distance import Levenshtein, Postfix, Prefix
    from rensa import RMinHash
except ImportError:
    raise MissingExtra("duplicates") from None

_SHINGLE = 3  # characters
_BANDS, _ROWS = 20, 3  # of two texts that share half their shingles, 93 in 100 meet in a band
_SEED = 1
_CHUNK = 2048  # texts sketched at once
_WINDOW = 16  # neighbours of one bucket that a text is held to
_FIRST = 300  # characters that two texts are compared by at first, since most differ there
_HEAD, _TAIL = 600, 300  # … and then; of longer ones, the end is held to the end
_BARE = 4  # characters that a text must have without its frame
_SHORT, _BLOCK = 12, 2  # shorter contents must be equal; shorter matches are accidents
_OF_SHORTER, _OF_LONGER = 0.6, 0.4  # least matched share
_BEFORE_END = 0.75  # … of the shorter one, if both end in other words where we cut them
_INSERTED, _SLIPS = 6, 0.2  # characters put in at one place; share of all slips
_COUNTS = frozenset("0123456789〇一二三四五六七八九十百千两不没未无")
_TELLING = _COUNTS | frozenset("甲乙丙丁东西南北左右上下前后内外大小男女abcdefghijklmnopqrstuvwxyz")
# One of a group in the place of another says something else: 太短, 太长.
_OPPOSITES = (
    "长短", "高低", "多少", "快慢", "早晚", "冷热", "新旧", "好坏", "开关", "增减",
    "加减", "进出", "来去", "升降", "宽窄", "远近", "轻重", "明暗", "亮暗", "黑白",
    "红绿黄蓝", "春夏秋冬", "日夜", "昼夜", "买卖", "真假", "难易", "厚薄", "深浅", "老幼",
    "首末", "松紧", "强弱", "胖瘦", "软硬", "干湿", "吵静", "脏净", "幼小初中高大", "镇乡村",
    "省市区县", "日周月年", "是否",
)  # fmt: skip
_OPPOSED = frozenset(pair for word in _OPPOSITES for pair in permutations(word, 2))
# What says nothing of the matter: how one greets, and how a hotline reports and forwards.
_FRAME = re.compile(
    r"(?:尊敬的)?[\u4e00-\u9fff]{0,4}(?:领导|市长|书记|局长|主任|同志)(?:们)?[您你]们?好|[您你]们?好"
    r"|(?:市民|群众|居民|网友|业主)?(?:来电|致电|来信|来件|留言)人?(?:反映|咨询|投诉|建议|表示|称|求助)"
    r"|(?:市民|群众|居民|网友|业主)(?:反映|咨询|投诉|表示|称)"
    r"|(?:希望|恳请|请|望|要求|诉求)?(?:[有相]关|主管|职能)(?:部门|单位)"
    r"|请?(?:尽快|及时|妥善)?(?:核实|处理|解决|回复|答复|办理|重视|关注)(?=[，。,.!；;]|$)"
    r"|(?:非常|十分)?(?:感谢|谢谢)(?:[您你]们?|领导|大家|了)?"
)
# How one ends: 希望尽快解决, 我的电话是, 来电人要求回复. No two of these words make a third,
# or there were too many ways to try.
_CLOSING = re.compile(
    "(?=.*(?:[望请盼求谢托急快早复礼祝找]|联系|电话))"
    "(?:希望|恳请|敬请|烦请|请|望|盼|求|期待|期盼|要求|能够?|可以?|可否|帮忙|帮助|帮|予以?|给|个"
    "|尽快|尽早|早日|及时|马上|赶快|抓紧|认真|妥善|百忙之中|[我您你他]们?|一下|一个|答案|说法|的|是|和|并|了"
    "|解决|处理|回复|答复|重视|关注|采纳|考虑|核实|核查|调查|办理|落实|改善|整改|改进|协调|反馈"
    "|领导|政府|市长|书记|有关|相关|部门|单位|大家|来电人|来信人|来访人|市民|群众|工单|已|转|属地|街道|办"
    "|非常|十分|万分|不胜|感谢|感激|谢|拜托|辛苦|打扰|麻烦|急|此致|敬礼|祝|工作顺利|身体健康"
    "|联系|电话|手机|号码?|拨?打|找|回电|本人|方式)+$"
)
_UNSAID = re.compile(r"〔号〕|[\W_]+")
_BASE, _MIX = np.uint64(1_000_003), np.uint64(0x9E3779B97F4A7C15)


def near_duplicate_groups(texts: Iterable[str]) -> list[int]:
    """A group number for each text; near-duplicates share one.

    The number is the place of the first text of the group, so a text that is
    alone has its own. Texts without any letter or digit are alone.
    """
    bands: list[np.ndarray] = []
    contents: list[str] = []
    texts = iter(texts)
    while chunk := [content(text) for text in islice(texts, _CHUNK)]:
        bands.append(_bands(*shingles(chunk)))
        contents += [c if len(c) <= _HEAD + _TAIL else c[:_HEAD] + c[-_TAIL:] for c in chunk]
    groups = _Groups(len(contents))
    if bands:
        _join(np.concatenate(bands), contents, groups)
    return groups.numbers()


def content(text: str) -> str:
    """What is compared of a text: letters and digits, without greetings and forwarding.

    Where hardly anything is left without them, they are what it says.
    """
    plain = normalise(text).lower()
    bare = _UNSAID.sub("", _FRAME.sub("", plain))
    return bare if len(bare) >= _BARE else _UNSAID.sub("", plain)


def shingles(kept: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the 3-character shingles of each content, one content after the other.

    Returns:
        The hashes, uint64, and where each content begins, uint64 of shape (n + 1,).
        A content shorter than three characters has itself as its only shingle.
    """
    lengths = np.array([len(t) for t in kept], dtype=np.int64)
    codes = "".join(t + "\0" * (_SHINGLE - 1) for t in kept).encode("utf-32-le", "replace")
    points = np.frombuffer(codes, dtype=np.uint32).astype(np.uint64)
    grams = np.zeros(len(points), dtype=np.uint64)
    for i in range(_SHINGLE):
        grams = grams * _BASE + np.append(points[i:], np.zeros(i, dtype=np.uint64))
    grams *= _MIX
    grams = (grams ^ (grams >> np.uint64(32))) * _MIX
    # Shingles that run over the end of a text count only if it is too short to have others.
    taken = np.maximum(lengths - _SHINGLE + 1, np.minimum(lengths, 1))
    starts = np.cumsum(lengths + _SHINGLE - 1) - (lengths + _SHINGLE - 1)
    rows = np.repeat(np.arange(len(kept)), taken)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(taken) - taken, taken)
    hashes = grams[np.repeat(starts, taken) + within]
    return hashes, np.concatenate([[0], np.cumsum(taken)]).astype(np.uint64)


def _bands(hashes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """MinHash signatures folded into bands, uint32 of shape (n, bands); 0 without content."""
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, _BANDS * _ROWS, _SEED)
    signature = np.array(matrix.to_rows(), dtype=np.uint64).reshape(-1, _BANDS, _ROWS)
    folded = np.zeros(signature.shape[:2], dtype=np.uint64)
    for i in range(_ROWS):
        folded = (folded + signature[:, :, i] + np.uint64(1)) * _MIX
        folded ^= folded >> np.uint64(29)
    folded[offsets[1:] == offsets[:-1]] = 0
    return (folded >> np.uint64(32)).astype(np.uint32)


def alike(a: str, b: str) -> bool:
    """Whether two contents are of one suggestion: the same but for slips, frame and end.

    Slips are single characters and short insertions. A piece that stands in the
    place of another (another place, another thing) makes another suggestion,
    and so does another number, letter or direction, an opposite or a “not”.
    """
    if a == b:
        return True
    shorter, longer = sorted((len(a), len(b)))
    if not _agree(a[:_FIRST], b[:_FIRST], cut=longer > _FIRST):
        return False
    if longer <= _FIRST:
        return True
    if not _agree(a[:_HEAD], b[:_HEAD], cut=shorter > _HEAD):
        return False
    return shorter <= _HEAD or _agree(a[-_TAIL:], b[-_TAIL:])


def _agree(a: str, b: str, *, cut: bool = False) -> bool:
    """Whether two pieces are :func:`alike`; their ends may differ if they were `cut` to compare."""
    shorter, longer = sorted((len(a), len(b)))
    if shorter < _SHORT:
        return False
    blocks = [m for m in Levenshtein.editops(a, b).as_matching_blocks() if m.size >= _BLOCK]
    matched = sum(m.size for m in blocks)
    if matched < _OF_SHORTER * shorter or matched < _OF_LONGER * longer:
        return False
    slips, at_a, at_b = 0, 0, 0
    for i, m in enumerate(blocks):
        left, right = _differing(a[at_a : m.a], b[at_b : m.b])
        at_a, at_b = m.a + m.size, m.b + m.size
        if i == 0 and not (left and right):
            continue  # a greeting or a hotline's frame
        if not _slip(left, right):
            return False
        slips += max(len(left), len(right))
    left, right = _differing(a[at_a:], b[at_b:])
    if cut:
        ended = matched >= _BEFORE_END * shorter
    else:
        left, right = _CLOSING.sub("", left), _CLOSING.sub("", right)
        ended = not (left and right)  # one was cut short
    if not ended and not _slip(left, right):
        return False
    return slips <= _SLIPS * matched


def _differing(left: str, right: str) -> tuple[str, str]:
    """Two pieces without what they begin and end with alike, which alignment may have missed."""
    start = Prefix.similarity(left, right)
    left, right = left[start:], right[start:]
    end = Postfix.similarity(left, right)
    return left[: len(left) - end], right[: len(right) - end]


def _slip(left: str, right: str) -> bool:
    operations = Levenshtein.editops(left, right)
    most = (max(len(left), len(right)) + 1) // 2 if left and right else _INSERTED
    if len(operations) > most:
        return False
    for op in operations:
        if op.tag == "replace":
            pair = left[op.src_pos], right[op.dest_pos]
            if pair in _OPPOSED or _TELLING.issuperset(pair):
                return False
        elif (left[op.src_pos] if op.tag == "delete" else right[op.dest_pos]) in _COUNTS:
            return False
    return True


class _Groups:
    """Disjoint sets; the least member stands for its set."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def root(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        i, j = sorted((self.root(i), self.root(j)))
        self._parent[j] = i

    def numbers(self) -> list[int]:
        return [self.root(i) for i in range(len(self._parent))]


def _join(bands: np.ndarray, contents: list[str], groups: _Groups) -> None:
    for k in range(bands.shape[1]):
        # Within a bucket those that share more bands stand together.
        turned = np.roll(bands, -k, axis=1)
        for bucket in _buckets(turned):
            recent: deque[int] = deque(maxlen=_WINDOW)
            for i in bucket:
                root = groups.root(i)
                for other in reversed(recent):
                    if groups.root(other) == root:
                        break
                    if alike(contents[i], contents[other]):
                        groups.join(i, other)
                        break
                else:
                    recent.append(i)


def _buckets(bands: np.ndarray) -> Iterator[list[int]]:
    """Rows that share their first band, ordered by the bands after it."""
    order = np.lexsort(bands.T[::-1])
    values = bands[order, 0]
    edges = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    sizes = np.diff(np.append(edges, len(values)))
    for start, size in zip(edges[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        if values[start]:
            yield order[start : start + size].tolist()
