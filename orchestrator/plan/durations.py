"""Times as people write them: 90, 90s, 30m, 2h, 1h30m. Specs, options and --set all read them here. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Any

import pydantic
from pydantic import Field

from orchestrator.plan import complaints

FORMS = "90, 90s, 30m, 2h or 1h30m"
LONGEST = 1e9  # seconds, 31 years: more overflows the timers of some systems
_NUMBER = r"\d{1,9}(?:\.\d{1,9})?"
_PARTS = re.compile(
    rf"(?:(?P<h>{_NUMBER})\s*h)?\s*(?:(?P<m>{_NUMBER})\s*m)?\s*(?:(?P<s>{_NUMBER})\s*s?)?", re.ASCII | re.IGNORECASE
)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def seconds(value: Any) -> Any:
    """Seconds from a text such as "1h30m"; numbers are seconds. Raises a ValueError of pydantic for anything else."""
    if type(value) in {int, float}:
        return value
    text = value.strip() if isinstance(value, str) else ""
    match = _PARTS.fullmatch(text)
    if not text or not match:
        raise complaints.mistake(f"must be a time such as {FORMS}")
    return sum(float(match[unit]) * size for unit, size in _UNITS.items() if match[unit])


Duration = Annotated[float, pydantic.BeforeValidator(seconds), Field(gt=0, le=LONGEST, allow_inf_nan=False)]
