"""Until when versions of languages get fixes, by their projects' own announcements."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

_ENDS: Final[dict[tuple[str, str], date]] = {
    ("python", "3.6"): date(2021, 12, 23),
    ("python", "3.7"): date(2023, 6, 27),
    ("python", "3.8"): date(2024, 10, 7),
    ("python", "3.9"): date(2025, 10, 31),
    ("python", "3.10"): date(2026, 10, 31),
    ("python", "3.11"): date(2027, 10, 31),
    ("python", "3.12"): date(2028, 10, 31),
    ("python", "3.13"): date(2029, 10, 31),
    ("node", "10"): date(2021, 4, 30),
    ("node", "12"): date(2022, 4, 30),
    ("node", "14"): date(2023, 4, 30),
    ("node", "16"): date(2023, 9, 11),
    ("node", "18"): date(2025, 4, 30),
    ("node", "20"): date(2026, 4, 30),
    ("node", "22"): date(2027, 4, 30),
    ("node", "24"): date(2028, 4, 30),
}
_PYTHON: Final = re.compile(r"(?:python|py)\|?([23])\.?([0-9]{1,2})", re.IGNORECASE)
_NODE: Final = re.compile(r"node(?:js)?\|?~?([0-9]{1,2})", re.IGNORECASE)


def ended(runtime: str, today: date | None = None) -> date | None:
    """When fixes for `python39`, `py39`, `python3.9`, `nodejs18` or `Python|3.9` ended; None while there are some."""
    python, node = _PYTHON.fullmatch(runtime), _NODE.fullmatch(runtime)
    if python and python[1] == "2":
        return date(2020, 1, 1)
    key = ("python", f"3.{python[2]}") if python else ("node", node[1]) if node else None
    end = _ENDS.get(key) if key else None
    return end if end is not None and end < (today or date.today()) else None
