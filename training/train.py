"""Fine-tune the encoder on labelled suggestions.

The head has one output a category for the lead (主办, softmax) and, after
these, one a category other than 其他 for co-handling (协办, sigmoid), so that
the checkpoint stays a plain ``BertForSequenceClassification``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sklearn.metrics import f1_score
from torch.nn import functional as F
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_pt_utils import get_length_grouped_indices

from classifier.errors import ModelError
from classifier.taxonomy import Taxonomy
from classifier.text import join_fields, normalise
from training.augment import augment
from training.batches import length_batches
from training.corpus import Item
from training.dropout import use_byte_dropout
from training.hardware import fast_bfloat16
from training.head import warm_start
from training.progress import TrainingProgress
from training.resume import MarkFinished, last_finished

_ENOUGH_TO_CHOOSE = 30  # validation items
_UNKNOWN = -1.0  # label of co-handling that nobody looked for


@dataclass(frozen=True)
class Recipe:
    """How the encoder is fine-tuned; the defaults made the shipped model.

    Attributes:
        layer_decay: learning rate of each layer relative to the one above it
            (Howard & Ruder 2018, arXiv:1801.06146).
        secondary_weight: weight of the co-handling loss beside the lead's.
        smoothing: label smoothing; items marked hard get twice as much.
        checkpoints: whether a killed run goes on from its last epoch; they are large.
    """

    epochs: float = 5.0
    batch_size: int = 32
    learning_rate: float = 1.5e-4
    layer_decay: float = 0.9
    weight_decay: float = 0.01
    warmup: float = 0.06
    max_length: int = 128
    secondary_weight: float = 0.3
    smoothing: float = 0.05
    validation_share: float = 0.06
    seed: int = 20171
    checkpoints: bool = True


class LengthSampler(torch.utils.data.Sampler[int]):
    """Rows of about the same length together, in an order that only seed and epoch decide.

    So a run that was killed and resumed reads the same batches as one that was not.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int, collate: Collate) -> None:
        self.lengths, self.batch_size, self.seed, self.collate = lengths, batch_size, seed, collate
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        self.collate.epoch = self.epoch
        generator = torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
        indices = get_length_grouped_indices(  # type: ignore[no-untyped-call]
            self.lengths, self.batch_size, generator=generator
        )
        return iter(indices)


class Collate:
    """Rows → a padded batch. Training rows are dressed differently in every epoch."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, recipe: Recipe, offices: list[str] | None
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = recipe.max_length
        self.offices = offices
        self.seed, self.epoch = recipe.seed, 0

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        texts = []
        for row in rows:
            title, text = row["title"], row["text"]
            if self.offices is not None:
                rng = random.Random(f"{self.seed} {self.epoch} {row['row']}")
                title, text = augment(title, text, self.offices, rng)
            texts.append(normalise(join_fields(title, text)))
        batch = self.tokenizer(
            texts, truncation=True, max_length=self.max_length, padding=True, return_tensors="pt"
        )
        return {
            "input_ids": batch["input_ids"],
            "attention_mask": batch["attention_mask"],
            "labels": torch.tensor([row["label"] for row in rows]),
            "secondary": torch.tensor([row["secondary"] for row in rows], dtype=torch.float32),
            "smoothing": torch.tensor([row["smoothing"] for row in rows], dtype=torch.float32),
        }


class LeadTrainer(Trainer):
    """Cross-entropy on the lead plus binary cross-entropy on co-handling."""

    def __init__(self, *, recipe: Recipe, n_classes: int, collate: Collate, **options: Any):
        super().__init__(data_collator=collate, **options)
        self.recipe = recipe
        self.n_classes = n_classes
        self.collate = collate
        self.eval_collate = Collate(collate.tokenizer, recipe, None)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        labels, secondary = inputs["labels"], inputs["secondary"]
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        logits = outputs.logits.float()
        k = self.n_classes
        log_p = F.log_softmax(logits[:, :k], dim=-1)
        smooth = inputs["smoothing"]
        lead = -(1 - smooth) * log_p.gather(1, labels[:, None])[:, 0] - smooth * log_p.mean(1)
        co = F.binary_cross_entropy_with_logits(logits[:, k:], secondary, reduction="none")
        co = co * (secondary != _UNKNOWN)  # a table without co-handling says nothing of it
        loss = lead.mean() + self.recipe.secondary_weight * co.sum(1).mean()
        return (loss, {"loss": loss, "logits": logits}) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthSampler:
        dataset: Any = train_dataset or self.train_dataset
        return LengthSampler(
            list(dataset["length"]), self.recipe.batch_size, self.recipe.seed, self.collate
        )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        training, self.data_collator = self.data_collator, self.eval_collate
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = training

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        model = model or self.model
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(
                parameter_groups(model, self.recipe), lr=self.recipe.learning_rate, fused=True
            )
        return self.optimizer


def parameter_groups(model: PreTrainedModel, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters by layer; the lower the layer the smaller its learning rate."""
    layers = model.config.num_hidden_layers
    groups: dict[tuple[int, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        found = re.search(r"\.layers?\.(\d+)\.", name)
        depth = int(found[1]) + 1 if found else (0 if "embeddings" in name else layers + 1)
        decays = parameter.ndim > 1 and "embeddings" not in name
        groups.setdefault((depth, decays), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": recipe.learning_rate * recipe.layer_decay ** (layers + 1 - depth),
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for (depth, decays), parameters in groups.items()
    ]


def load_base(base: str | Path, taxonomy: Taxonomy) -> tuple[Any, PreTrainedTokenizerBase, bool]:
    """Model with a head for `taxonomy`, tokenizer, and whether the pooler is new.

    Raises:
        ModelError: `transformers` cannot load `base`.
    """
    names = taxonomy.names + [f"协办:{c.name}" for c in taxonomy if c.id != taxonomy.abstain]
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(base))
        model, report = AutoModelForSequenceClassification.from_pretrained(
            str(base),
            output_loading_info=True,
            num_labels=len(names),
            id2label=dict(enumerate(names)),
            label2id={name: i for i, name in enumerate(names)},
            # Attention dropout is a third of the time of a step on a CPU and
            # made no difference to accuracy.
            attention_probs_dropout_prob=0.0,
            # The plain kernel is the faster one in bfloat16, the fused one in fp32.
            attn_implementation="eager" if fast_bfloat16() else "sdpa",
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
        )
    except Exception as error:  # the parsers behind it raise their own many kinds
        raise ModelError(f"transformers 读不了基础编码器 {base}：{error}") from error
    return model, tokenizer, any("pooler" in name for name in report["missing_keys"])


@torch.inference_mode()
def standardise_pooler(
    model: Any, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int
) -> None:
    """Start a new pooler as a standardisation of the first token over `texts`.

    The last layer norm of the base is small (vectors of length about 1), so a
    pooler drawn at random passes next to nothing on, either way, and
    fine-tuning spends its first epochs on scale alone.
    """
    model.train(False)
    batch = tokenizer(
        [normalise(t) for t in texts],
        truncation=True,
        max_length=max_length,
        padding=True,
        return_tensors="pt",
    )
    states = [
        model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        for ids, mask in zip(
            batch["input_ids"].split(32), batch["attention_mask"].split(32), strict=True
        )
    ]
    first = torch.cat(states)
    scale = 1.0 / first.std(0).clamp_min(1e-3)
    dense = model.base_model.pooler.dense
    dense.weight.copy_(torch.diag(scale))
    dense.bias.copy_(-first.mean(0) * scale)


def to_dataset(
    items: Sequence[Item], taxonomy: Taxonomy, tokenizer: PreTrainedTokenizerBase, recipe: Recipe
) -> Dataset:
    """Items as a ``datasets.Dataset`` with label indices and lengths in tokens."""
    co = [c.id for c in taxonomy if c.id != taxonomy.abstain]
    full = [normalise(it.full_text) for it in items]
    ids = tokenizer(full, truncation=True, max_length=recipe.max_length)["input_ids"]
    return Dataset.from_list(
        [
            {
                "row": n,
                "title": it.title,
                "text": it.text,
                "label": taxonomy.index(it.primary),
                "secondary": [float(c in it.secondary) if it.co_labelled else _UNKNOWN for c in co],
                "smoothing": recipe.smoothing * (2.0 if it.hard else 1.0),
                "length": len(tokens),
            }
            for n, (it, tokens) in enumerate(zip(items, ids, strict=True))
        ]
    )


def fine_tune(
    train_items: Sequence[Item],
    valid_items: Sequence[Item],
    taxonomy: Taxonomy,
    base: str | Path,
    work: Path,
    recipe: Recipe,
    *,
    augmented: bool = True,
) -> dict[str, float]:
    """Fine-tune `base` on `train_items`; the best checkpoint goes to ``work/best``.

    The best checkpoint is the one with the highest accuracy on `valid_items`,
    or the last one if these are too few to tell.
    If `work` holds checkpoints of the same run, it goes on from the last one
    and ends as it would have without the interruption.

    Returns:
        The validation figures of the best checkpoint, if there is anything to validate on.
    """
    set_seed(recipe.seed)
    model, tokenizer, new_pooler = load_base(base, taxonomy)
    if new_pooler:
        sample = random.Random(recipe.seed).sample(list(train_items), min(256, len(train_items)))
        standardise_pooler(model, tokenizer, [it.full_text for it in sample], recipe.max_length)
    warm_start(
        model, tokenizer, base,
        [it.full_text for it in train_items],
        np.array([taxonomy.index(it.primary) for it in train_items]),
        recipe.max_length,
    )  # fmt: skip
    use_byte_dropout(model)
    k = len(taxonomy)

    def metrics(output: Any) -> dict[str, float]:
        logits, labels = output.predictions, output.label_ids
        labels = labels[0] if isinstance(labels, tuple) else labels
        guess = np.asarray(logits)[:, :k].argmax(1)
        return {
            "accuracy": float((guess == labels).mean()),
            "macro_f1": float(f1_score(labels, guess, average="macro")),
        }

    arguments = TrainingArguments(
        output_dir=str(work / "checkpoints"),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=64,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=recipe.warmup,
        bf16=fast_bfloat16(),
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="epoch" if valid_items else "no",
        save_strategy="epoch" if recipe.checkpoints else "no",
        save_total_limit=2,
        load_best_model_at_end=len(valid_items) >= _ENOUGH_TO_CHOOSE,
        metric_for_best_model="accuracy",
        logging_steps=50,
        report_to="none",
        remove_unused_columns=False,
        label_names=["labels"],
        seed=recipe.seed,
        dataloader_pin_memory=False,
    )
    trainer = LeadTrainer(
        model=model,
        args=arguments,
        train_dataset=to_dataset(train_items, taxonomy, tokenizer, recipe),
        eval_dataset=to_dataset(valid_items, taxonomy, tokenizer, recipe) if valid_items else None,
        compute_metrics=metrics,
        recipe=recipe,
        n_classes=k,
        collate=Collate(tokenizer, recipe, [c.office for c in taxonomy] if augmented else None),
    )
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    progress = TrainingProgress()
    trainer.add_callback(progress)
    trainer.add_callback(MarkFinished())
    with progress.bar:
        trainer.train(resume_from_checkpoint=last_finished(work / "checkpoints"))
    figures = trainer.evaluate() if valid_items else {}
    trainer.save_model(str(work / "best"))
    tokenizer.save_pretrained(str(work / "best"))
    return {
        **{k: figures[f"eval_{k}"] for k in ("accuracy", "macro_f1") if figures},
        "n_train": len(train_items),
        "n_validation": len(valid_items),
        **{f"recipe_{key}": value for key, value in asdict(recipe).items()},
    }


@torch.inference_mode()
def predict_logits(
    model: Any, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int
) -> np.ndarray:
    """Logits of a checkpoint in fp32, shape (n, n_outputs)."""
    model.train(False)
    found = np.zeros((len(texts), model.config.num_labels), dtype=np.float32)
    for part, batch in length_batches(tokenizer, [normalise(t) for t in texts], max_length):
        outputs = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        found[part] = outputs.logits.numpy()
    return found
