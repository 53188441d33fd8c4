"""Chinese messages for click, through the catalogue that click itself looks up.

``messages.mo`` is compiled from ``messages.po`` with ``pybabel compile``.
"""

from __future__ import annotations

import gettext
import os
from pathlib import Path


def chinese_click() -> None:
    """Make click speak Chinese in this process; for the command line only."""
    os.environ["LANGUAGE"] = "zh"
    gettext.bindtextdomain("messages", str(Path(__file__).parent))
