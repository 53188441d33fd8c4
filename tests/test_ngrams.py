"""The second opinion: hashed n-grams, their training, their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from classifier import ModelError, SuggestionClassifier
from classifier.ngrams import BITS, NgramModel, features
from classifier.text import normalise
from tests.conftest import ROOT
from training.corpus import read_items
from training.ngrams import train_ngrams

CORPUS = ROOT / "training" / "data" / "corpus.jsonl"


@pytest.mark.parametrize("text", ["", "路", "路灯", "路灯不亮"])
def test_features_of_short_texts(text: str) -> None:
    _, buckets, counts = features([text])
    n = len(text)
    assert len(buckets) == n + max(0, n - 1) + max(0, n - 2)
    assert (counts == 1).all()
    assert ((buckets >= 0) & (buckets < 2**BITS)).all()


def test_orders_do_not_collide() -> None:
    assert len(features(["路路"])[0]) == 2  # the character (twice) and its bigram


def test_alone_and_in_company_the_same(clf: SuggestionClassifier) -> None:
    texts = ["", "路", "路灯", "路灯不亮，等了三天没有人来修", "公交车", "", "\U0001f600" * 3, "路"]
    together = clf.ngrams.scores(texts * 50)
    alone = np.concatenate([clf.ngrams.scores([text]) for text in texts])
    np.testing.assert_array_equal(together, np.tile(alone, (50, 1)))
    owner, buckets, _ = features(["甲乙", "丙丁"])
    first, second = features(["甲乙"])[1], features(["丙丁"])[1]
    assert buckets.tolist() == [*first, *second]  # no bigram 乙丙
    assert owner.tolist() == [0] * 3 + [1] * 3


def test_same_accuracy_as_the_linear_peer_it_hashes(clf: SuggestionClassifier) -> None:
    items = [it for it in read_items(CORPUS, clf.taxonomy) if it.split == "train"]
    texts = [it.text for it in items]
    labels = np.array([clf.taxonomy.index(it.primary) for it in items])
    half = len(items) // 2
    ours = train_ngrams(texts[:half], labels[:half], len(clf.taxonomy))
    guess = ours.scores([normalise(t) for t in texts[half:]]).argmax(1)
    vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    peer = LinearSVC(C=1.0).fit(vectors.fit_transform(texts[:half]), labels[:half])
    theirs = peer.predict(vectors.transform(texts[half:]))
    gold = labels[half:]
    assert (guess == gold).mean() >= (theirs == gold).mean() - 0.01


@pytest.mark.parametrize("present", [(0, 2), (0, 1, 2)])
def test_a_class_without_examples_is_never_first(present: tuple[int, ...], tmp_path: Path) -> None:
    words = ["公交车晚点了", "图书馆闭馆早", "路灯坏了不亮"]
    texts = [words[c] + str(i) for c in present for i in range(5)]
    model = train_ngrams(texts, np.repeat(present, 5), 4)
    assert model.scores([words[c] for c in present]).argmax(1).tolist() == list(present)
    model.save(tmp_path / "ngrams.npz")
    again = NgramModel.load(tmp_path / "ngrams.npz")
    assert (again.scores(words) == model.scores(words)).all()


def test_the_same_texts_give_the_same_weights() -> None:
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list("路灯公交图书馆医院学校小区"), 12)) for _ in range(200)]
    models = []
    for seed in (1, 2):
        np.random.seed(seed)
        models.append(train_ngrams(texts, np.arange(200) % 3, 3))
    assert (models[0].bias == models[1].bias).all()
    assert (models[0].weight == models[1].weight).all()


def test_silent_and_broken(tmp_path: Path) -> None:
    assert not NgramModel.silent(5).scores(["随便写点什么"]).any()
    (tmp_path / "ngrams.npz").write_bytes(b"PK nonsense")
    with pytest.raises(ModelError, match=r"ngrams\.npz"):
        NgramModel.load(tmp_path / "ngrams.npz")
