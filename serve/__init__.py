"""The HTTP door: FastAPI over :class:`classifier.SuggestionClassifier`."""
