"""Content digests."""

import hashlib
import json
from typing import Any


def digest(*values: Any) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 digest of the values as canonical JSON.

    Raises:
        TypeError: A value contains something other than numbers, strings, booleans, None, lists, tuples and mappings.
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
