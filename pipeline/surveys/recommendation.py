"""A value for a key of params.yaml, with its reason."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recommendation:
    """One choice of `init`.

    Attributes:
        key: Dotted key, such as `data.image_size`.
        value: Plain value, as in YAML.
        reason: Sentence for the comment above the key; empty if the key's own comment says enough.
    """

    key: str
    value: Any
    reason: str = ""
