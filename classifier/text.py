"""Room 1: what a citizen wrote → what the encoder reads.

``normalise`` is the only text formatting between a raw cell and the tokenizer;
training calls the same function, so the two cannot drift apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from opencc import OpenCC
from tokenizers import Tokenizer

from classifier.errors import ModelError

# Control characters (not tab and line ends), lone surrogates, zero-width marks,
# the byte-order mark and the replacement character carry no meaning.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe0e\ufe0f\ufeff\ufffd\ud800-\udfff]"
)
# Pictures say how somebody feels, not which office is meant, and the encoder knows none of them.
_PICTURES = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u20e3]")
_SIMPLIFIED = OpenCC("t2s")
# A number of seven or more digits is a phone, card or case number; what it is
# does not change the class, so the model sees one sign for all of them and a
# masked message reads the same as an unmasked one.
_NUMBER = re.compile(r"〔[^〔〕]{1,8}〕|(?<!\d)\d[\d\- ]{5,22}\d(?!\d)")
_NUMBER_SIGN = "〔号〕"
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,4}", re.ASCII)
_REPEAT = re.compile(r"([^\w\s])\1{2,}")
_SPACE = re.compile(r"\s+")


# What is wrong with a text itself, as a clerk reads it.
BLANK = "没有内容"
NOT_TEXT = "不是文字"
UNREADABLE = "看不懂（不是中文或没有意思）"
_UNKNOWN_SHARE = 0.4
_CHINESE_SHARE = 0.35
_KANA_SHARE = 0.1


def to_text(value: Any) -> tuple[str, str]:
    """Any cell → (text, problem); the problem is empty if it is text, which may yet be blank."""
    if hasattr(value, "as_py"):  # of an Arrow column
        value = value.as_py()
    if isinstance(value, str):
        return value, ""
    return "", BLANK if is_missing(value) else NOT_TEXT


def is_missing(value: Any) -> bool:
    """Whether a value is how data frames say “empty”: None, NaN, NaT or pandas' NA."""
    if value is None or type(value).__name__ == "NAType":  # NA equals nothing, nor does it not
        return True
    unequal = value != value  # of an array, one answer for each of its values
    return isinstance(unequal, bool | np.bool_) and bool(unequal)


def readable(text: str, ids: Sequence[int], unk_id: int) -> bool:
    """Whether a normalised text is Chinese with some content, by its characters and tokens.

    The encoder was trained on nothing else; on other input its confidence
    means nothing, so such texts go to a person whatever it says.
    """
    letters = [c for c in text if c.isalpha()]
    chinese = [c for c in letters if "\u3400" <= c <= "\u9fff"]
    kana = sum("\u3040" <= c <= "\u30ff" for c in letters)
    return (
        len(chinese) >= 2
        and len(chinese) >= _CHINESE_SHARE * len(letters)
        and kana <= _KANA_SHARE * len(letters)
        and not (len(chinese) >= 4 and len(set(chinese)) <= 2)
        and list(ids).count(unk_id) <= _UNKNOWN_SHARE * len(ids)
    )


def normalise(text: str) -> str:
    """Fold full-width forms and traditional characters, drop what is invisible, hide long numbers.

    >>> normalise("电话１３９００００１２３４！！！！  没人接\\n")
    '电话〔号〕!! 没人接'
    """
    text = _INVISIBLE.sub("", text)
    text = _PICTURES.sub("", unicodedata.normalize("NFKC", text))
    text = _SIMPLIFIED.convert(text)
    text = _EMAIL.sub(_NUMBER_SIGN, text)
    text = _NUMBER.sub(_hide_number, text)
    text = _REPEAT.sub(r"\1\1", text)
    return _SPACE.sub(" ", text).strip()


def _hide_number(match: re.Match[str]) -> str:
    found = match.group()
    if found[0] == "〔":
        return _NUMBER_SIGN
    # A date such as 2023-10-05 is left alone: it has at most eight digits in groups.
    digits = sum(c.isdigit() for c in found)
    return _NUMBER_SIGN if digits >= 7 and not _DATE.fullmatch(found) else found


_DATE = re.compile(r"(?:19|20)\d\d[- ]?\d{1,2}[- ]?\d{1,2}(?:[- ]+\d{1,2})?")


def join_fields(title: str, body: str) -> str:
    """Title and body as one text; a title that opens the body is not said twice."""
    title, body = title.strip(), body.strip()
    if not title or body.startswith(title):
        return body
    if not body:
        return title
    stop = "" if title[-1] in "。！？!?…" else "。"
    return f"{title}{stop}{body}"


@dataclass(frozen=True)
class Encoded:
    """The texts of one call as the model reads them.

    Attributes:
        texts: normalised.
        ids: one list of token ids a text, special tokens included, unpadded.
        cut: whether the text was longer than the model reads.
    """

    texts: list[str]
    ids: list[list[int]]
    cut: list[bool]


class TextEncoder:
    """Normalises and tokenises with the tokenizer of a model folder."""

    def __init__(self, tokenizer_file: Path, max_length: int) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelError(f"读不了分词器文件 {tokenizer_file}：{error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Texts → :class:`Encoded`, same order and length."""
        normalised = [normalise(t) for t in texts]
        found = self._tokenizer.encode_batch(normalised)
        return Encoded(normalised, [e.ids for e in found], [bool(e.overflowing) for e in found])


def pad(ids: Sequence[Sequence[int]], pad_id: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Lists of token ids → int64 ids and attention mask, both of shape (n, length)."""
    padded = np.full((len(ids), length), pad_id, dtype=np.int64)
    mask = np.zeros((len(ids), length), dtype=np.int64)
    for i, row in enumerate(ids):
        padded[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return padded, mask
