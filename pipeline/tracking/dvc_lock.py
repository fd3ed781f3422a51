"""Read dvc.lock, in which DVC records the parameters, dependencies and outputs of each stage."""

from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


@lru_cache(maxsize=4)
def read_stages(lock: str) -> dict[str, Any]:
    """Parse the stages in the content of dvc.lock. Cached, because parsing takes half a second.

    Returns:
        The entry of each stage by its name. Empty if the content is empty or damaged.
    """
    try:
        content = YAML(typ="safe", pure=True).load(lock)
    except YAMLError:
        return {}
    stages = content.get("stages") if isinstance(content, dict) else None
    return stages if isinstance(stages, dict) else {}
