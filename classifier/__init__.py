"""微类：把群众意见建议分到十二个“微”类，拿不准的交给人。

>>> from classifier import SuggestionClassifier
>>> clf = SuggestionClassifier.from_pretrained()
>>> clf.predict(["小区门口的红绿灯坏了好几天"])[0].primary
'微交通'
"""

from classifier.classifier import SuggestionClassifier
from classifier.decision import Alternative, Prediction
from classifier.errors import InputError, MissingExtra, ModelError, WeileiError
from classifier.taxonomy import Category, Taxonomy

__version__ = "0.1.0"

__all__ = [
    "Alternative",
    "Category",
    "InputError",
    "MissingExtra",
    "ModelError",
    "Prediction",
    "SuggestionClassifier",
    "Taxonomy",
    "WeileiError",
]
