"""Other ways to classify the same messages, trained on the same data in the same run."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from transformers import AutoModel, AutoTokenizer

from classifier.taxonomy import Taxonomy
from classifier.text import normalise
from training.base import build_base
from training.batches import length_batches

# Training texts, their class indices, unseen texts → class indices of these.
Peer = Callable[[Sequence[str], np.ndarray, Sequence[str]], np.ndarray]
_MOST_EMBEDDED = 4000
_PREFIX = "query: "  # how the base was trained to embed (Wang et al. 2024, arXiv:2402.05672)


def tfidf_svc(texts: Sequence[str], labels: np.ndarray, unseen: Sequence[str]) -> np.ndarray:
    """Char-TF-IDF (1–3) + LinearSVC."""
    model = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True),
        LinearSVC(C=0.5),
    )
    model.fit(texts, labels)
    return np.asarray(model.predict(unseen))


def fasttext(texts: Sequence[str], labels: np.ndarray, unseen: Sequence[str]) -> np.ndarray:
    """fastText on characters, word n-grams up to 3 (Joulin et al. 2017)."""
    import fasttext as library

    def line(text: str) -> str:
        return " ".join(normalise(text).replace(" ", ""))

    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "train.txt"
        rows = [f"__label__{c} {line(t)}" for t, c in zip(texts, labels, strict=True)]
        file.write_text("\n".join(rows) + "\n", encoding="utf-8")
        model = library.train_supervised(
            str(file), epoch=25, lr=0.5, wordNgrams=3, dim=100, minCount=2, verbose=0, thread=2
        )
    # The wrapper's own predict() breaks with numpy 2; what it wraps does not.
    said = [model.f.predict(line(t) + "\n", 1, 0.0, "strict")[0][1] for t in unseen]
    return np.array([int(s.removeprefix("__label__")) for s in said])


class Embeddings:
    """The base encoder as it comes: mean of its last states, length 1."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            folder = build_base(Path(scratch) / "base")
            self._tokenizer = AutoTokenizer.from_pretrained(str(folder))
            self._model = AutoModel.from_pretrained(str(folder), dtype=torch.float32).eval()

        self._known: dict[tuple[str, ...], np.ndarray] = {}

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """float32 of shape (n, hidden); the same texts are embedded once."""
        key = tuple(texts)
        if key not in self._known:
            self._known[key] = self._embed(texts)
        return self._known[key]

    @torch.inference_mode()
    def _embed(self, texts: Sequence[str], max_length: int = 128) -> np.ndarray:
        found = np.zeros((len(texts), self._model.config.hidden_size), dtype=np.float32)
        prefixed = [_PREFIX + normalise(text) for text in texts]
        for part, batch in length_batches(self._tokenizer, prefixed, max_length):
            mask = batch["attention_mask"]
            states = self._model(input_ids=batch["input_ids"], attention_mask=mask)
            weights = mask[:, :, None].float()
            mean = (states.last_hidden_state * weights).sum(1) / weights.sum(1)
            found[part] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return found


def embeddings_lr(embed: Embeddings) -> Peer:
    """The frozen base + logistic regression: SetFit's recipe without its contrastive step.

    Fitted on at most 4,000 texts drawn at random, since embedding takes the
    longest of all.
    """

    def peer(texts: Sequence[str], labels: np.ndarray, unseen: Sequence[str]) -> np.ndarray:
        drawn = np.random.default_rng(0).permutation(len(texts))[:_MOST_EMBEDDED]
        model = LogisticRegression(C=100.0, max_iter=2000)
        model.fit(embed([texts[i] for i in drawn]), labels[drawn])
        return np.asarray(model.predict(embed(unseen)))

    return peer


def zero_shot(embed: Embeddings, taxonomy: Taxonomy) -> Peer:
    """No training: the class whose description is nearest to the text."""

    def peer(texts: Sequence[str], labels: np.ndarray, unseen: Sequence[str]) -> np.ndarray:
        classes = embed([f"{c.name}：{c.scope}" for c in taxonomy])
        return np.asarray((embed(unseen) @ classes.T).argmax(1))

    return peer


def keywords(taxonomy: Taxonomy) -> Peer:
    """No training: the class with most of its scope's words in the text, else 其他."""
    table = [set(re.findall(r"[\u4e00-\u9fff]{2,}", c.scope.replace("与", "、"))) for c in taxonomy]
    otherwise = taxonomy.index(taxonomy.abstain) if taxonomy.abstain else 0

    def peer(texts: Sequence[str], labels: np.ndarray, unseen: Sequence[str]) -> np.ndarray:
        hits = np.array([[sum(w in text for w in words) for words in table] for text in unseen])
        return np.where(hits.max(1) > 0, hits.argmax(1), otherwise)

    return peer


def all_peers(taxonomy: Taxonomy) -> dict[str, Peer]:
    """Name, as a reader sees it → peer."""
    embed = Embeddings()
    return {
        "字 TF-IDF + LinearSVC": tfidf_svc,
        "fastText": fasttext,
        "基础编码器 + 逻辑回归": embeddings_lr(embed),
        "按类别说明零样本": zero_shot(embed, taxonomy),
        "关键词表": keywords(taxonomy),
    }
