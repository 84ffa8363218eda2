"""Bytes, as people write them."""

from __future__ import annotations

import re
from typing import Any

from llmedge.config import kinds

_UNITS = {"": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def _size(value: Any) -> int:
    found = re.fullmatch(r"(\d{1,12})\s*([KMG]IB)?", str(value).upper()) if not isinstance(value, bool) else None
    if found is None or not int(found[1]):
        raise ValueError('must be bytes: a whole number, or a text such as "256MiB"')
    return int(found[1]) * _UNITS[found[2] or ""]


SIZE = kinds.simple('bytes, such as "256MiB"', _size, {"type": ["integer", "string"], "minimum": 1})
