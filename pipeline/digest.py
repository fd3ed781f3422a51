"""Digests that name things by their content."""

import hashlib
import json
from typing import Any


def digest(*values: Any) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the values' canonical JSON.

    Raises:
        TypeError: a value is not made of numbers, text, booleans, None, lists, tuples and mappings.
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
