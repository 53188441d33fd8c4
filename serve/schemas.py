"""What goes in and comes out as JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from classifier import Prediction
from classifier.privacy import SIGNS, find

MOST_TEXTS = 256


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


# No NUL; half characters (lone surrogates) are no text for pydantic anyway.
_Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]


class ClassifyIn(_Model):
    """一条建议。"""

    text: _Text = Field(description="正文", examples=["三路公交车等了四十分钟不来"])
    title: _Text = Field("", description="标题，可以不写")


class BatchIn(_Model):
    """几条建议。"""

    texts: Annotated[list[_Text], Field(min_length=1, max_length=MOST_TEXTS)] = Field(
        description=f"正文，最多 {MOST_TEXTS} 条"
    )


class AlternativeOut(_Model):
    """没有选中的一类。"""

    name: str
    id: str
    probability: float


class PersonalOut(_Model):
    """正文里的一处个人信息：什么、从第几个字到第几个字（按 Unicode 码点数，从 0 数）。"""

    kind: str
    name: str
    start: int
    end: int


class PredictionOut(_Model):
    """一条建议的判定。"""

    primary: str = Field(description="主办类")
    primary_id: str = Field(description="主办类的 id")
    probability: float = Field(ge=0, le=1, description="校准过的概率")
    secondary: list[str] = Field(description="协办类")
    alternatives: list[AlternativeOut] = Field(description="另外两个可能")
    lane: Literal["auto", "review"] = Field(description="auto 自动，review 人工")
    reason: str = Field(description="为什么要人看，自动时为空")
    office: str = Field(description="主办单位")
    cut: bool = Field(description="太长，只读了开头")
    model: str = Field(description="模型编号")
    evidence: list[str] = Field(description="哪几句话最像这一类")
    personal: list[PersonalOut] = Field(description="正文里的个人信息")


class BatchOut(_Model):
    """判定，次序和条数与请求一样。"""

    predictions: list[PredictionOut]


class CategoryOut(_Model):
    """一个类别。"""

    id: str
    name: str
    scope: str
    office: str


class TaxonomyOut(_Model):
    """分类表。"""

    name: str
    abstain: str = Field(description="表示“由人决定”的类的 id")
    max_characters: int = Field(description="一条建议最多几个字")
    classes: list[CategoryOut]


class ModelOut(_Model):
    """在用的模型。"""

    id: str
    taxonomy: str
    max_error: float = Field(description="自动通道承诺的错误率")
    threshold: float = Field(
        description="由承诺得出的门槛：把握（置信度和编码器自己的合在一起）不低于它才自动"
    )
    temperature: float
    curve: list[list[float]] = Field(description="门槛、自动的份额、错误率、错误率的上界")
    card_html: str = Field(description="模型说明")


class ProblemOut(BaseModel):
    """出错时的回答（RFC 9457）。"""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""


class LanesOut(_Model):
    """各通道的条数。"""

    auto: int = Field(0, description="自动")
    review: int = Field(0, description="人工")


class RowsOut(_Model):
    """有问题的行。"""

    what: str = Field(description="什么问题")
    count: int = Field(description="几行")
    rows: list[int] = Field(description="前几行的行号")


class ReviewOut(_Model):
    """要人看的一行。"""

    row: int
    text: str = Field(description="内容，只有开头")
    primary: str
    probability: float
    reason: str


class TableOut(_Model):
    """一张表的进度；做完后有结果，失败了有 error。"""

    id: str = Field(description="编号")
    name: str = Field(description="文件名")
    state: Literal["queued", "running", "done", "failed"] = Field(
        description="排队、在做、做完了、失败了"
    )
    done: int = Field(description="做了几行")
    total: int | None = Field(description="一共几行，还不知道时为空")
    rows: int | None = Field(description="做完后：一共几行")
    classes: dict[str, LanesOut] = Field(description="各类的条数")
    lanes: LanesOut = Field(description="各通道的条数，没做完时为空")
    note: str = Field(description="读表时要说明的")
    columns: list[str] = Field(description="正文所在的列")
    problems: list[RowsOut] = Field(description="有问题的行")
    review: list[ReviewOut] = Field(description="要人看的行，只有前 100 行")
    error: ProblemOut | None = Field(description="为什么失败")


class StateOut(_Model):
    """服务的状态。"""

    status: str


def prediction_out(found: Prediction, text: str) -> dict[str, Any]:
    """A prediction with the personal data of `text`, as plain data."""
    personal = [
        {"kind": f.kind, "name": SIGNS[f.kind].strip("〔〕"), "start": f.start, "end": f.end}
        for f in find(text)
    ]
    return {**found.to_dict(), "personal": personal}
