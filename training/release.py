"""A fine-tuned checkpoint and calibration data → a finished model folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from classifier import __version__, bundle, decision
from classifier.encoder import OnnxEncoder
from classifier.errors import InputError, ModelError
from classifier.ngrams import NgramModel
from classifier.tables.target import clean
from classifier.taxonomy import Taxonomy
from classifier.text import TextEncoder, readable
from training.calibrate import calibrate
from training.corpus import Item, labels_of
from training.export import quantise, to_onnx
from training.learn import Outputs

TRAINING_FILES = {"model.safetensors"}
_LEAST = 8  # calibration items
_LONGEST_NAME = 60  # characters; names of files have at most 255 bytes
MAX_LENGTH = 256  # what the model reads; training at 128 extends to it without loss


def release(
    checkpoint: str | Path,
    target: Path,
    taxonomy_file: Path,
    calibration_items: Sequence[Item],
    ngrams: NgramModel,
    *,
    outputs: Outputs | None = None,
    card: str = "",
    training: dict[str, Any] | None = None,
    max_length: int = MAX_LENGTH,
) -> Path:
    """Export, quantise and calibrate a checkpoint into the model folder `target`.

    Args:
        checkpoint: a ``transformers`` sequence classifier whose first outputs
            are the categories of the taxonomy, in its order.
        calibration_items: labelled suggestions that training never saw, but see `outputs`.
        outputs: what models that had not seen these say of them, if training has seen them.
        ngrams: the second opinion, trained on the same suggestions as the checkpoint.
        card: text of the model card; by default a short one.
        training: what the manifest should record of the training run.

    Raises:
        ModelError: the checkpoint does not fit the taxonomy.
        InputError: too few calibration items.
    """
    taxonomy = Taxonomy.load(taxonomy_file)
    if len(calibration_items) < _LEAST:
        raise InputError(
            f"用来校准的建议只有 {len(calibration_items)} 条，至少要 {_LEAST} 条没有参加训练的"
        )
    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            str(checkpoint), attn_implementation="eager", dtype=torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(str(checkpoint))
    except (OSError, ValueError) as error:
        raise ModelError(f"transformers 读不了检查点 {checkpoint}：{error}") from error
    names = [model.config.id2label.get(i) for i in range(len(taxonomy))]
    if names != taxonomy.names:
        raise ModelError(f"检查点 {checkpoint} 的类别和分类表 {taxonomy_file} 不一致")
    max_length = min(max_length, int(model.config.max_position_embeddings))
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        folder = scratch / "model"
        folder.mkdir()
        tokenizer.save_pretrained(folder)
        model.config.save_pretrained(folder)
        half = {k: v.detach().half().contiguous() for k, v in model.state_dict().items()}
        save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "model.safetensors").chmod(0o644)
        shutil.copyfile(taxonomy_file, folder / "taxonomy.toml")
        to_onnx(model, scratch / "fp32.onnx")
        quantise(scratch / "fp32.onnx", folder / "model.onnx")
        ngrams.save(folder / bundle.NGRAMS)
        encoded = TextEncoder(folder / "tokenizer.json", max_length).encode(
            [it.full_text for it in calibration_items]
        )
        if outputs is None:
            encoder = OnnxEncoder(folder / "model.onnx", tokenizer.pad_token_id)
            outputs = Outputs(encoder.encode(encoded.ids), ngrams.scores(encoded.texts))
        figures = calibrate(
            outputs.logits,
            outputs.margins,
            decision.secondary_probabilities(outputs.logits, taxonomy),
            labels_of(calibration_items, taxonomy),
            [
                [it.source for it in calibration_items],
                [it.where.rpartition(" 第 ")[0] for it in calibration_items],
            ],
            np.array(
                [
                    not readable(text, ids, tokenizer.unk_token_id)
                    for text, ids in zip(encoded.texts, encoded.ids, strict=True)
                ]
            ),
            [
                [taxonomy.index(s) for s in it.secondary] if it.co_labelled else None
                for it in calibration_items
            ],
            len(taxonomy),
            taxonomy.index(taxonomy.abstain) if taxonomy.abstain else None,
        )
        (folder / "calibration.json").write_text(
            json.dumps(figures, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        (folder / bundle.CARD).write_text(card or _short_card(taxonomy, figures), encoding="utf-8")
        digest = _digest(folder)
        manifest = {
            "id": f"{model_name(target.name)}-{date.today():%Y%m%d}-{digest}",
            "library": __version__,
            "max_length": max_length,
            "pad_id": tokenizer.pad_token_id,
            "unk_id": tokenizer.unk_token_id,
            "training": training or {},
        }
        bundle.write(folder, target, manifest, TRAINING_FILES)
    return target


def _digest(folder: Path) -> str:
    """Eight hexadecimal digits that tell models apart, also those of one encoder."""
    parts = (bundle.sha256(folder / name) for name in ("model.onnx", bundle.NGRAMS))
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:8]


def model_name(name: str) -> str:
    """`name`, or what of it can stand in names of files with something before and after it."""
    return clean(name, ".jsonl")[:_LONGEST_NAME] or "model"


def _short_card(taxonomy: Taxonomy, figures: dict[str, Any]) -> str:
    return (
        f"# {taxonomy.name}\n\n"
        f"类别：{'、'.join(taxonomy.names)}。\n\n"
        f"用 {figures['messages']} 条没有参加训练的建议校准，温度 {figures['temperature']}。\n"
    )
