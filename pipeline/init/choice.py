"""A decided key of params.yaml, with its reason."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """One decision of `init`.

    Attributes:
        key: dotted, such as `data.image_size`.
        value: plain, as YAML holds it.
        reason: a sentence for the comment above the key; empty: the key's own comment says enough.
    """

    key: str
    value: Any
    reason: str = ""
