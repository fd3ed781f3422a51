"""Read YAML 1.2 files as DVC reads them, and validate their content.

Errors contain the file, the dotted key, the rule, the value and the remedy.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.tokens import TagToken

from pipeline.errors import UnreadableError, UserError, message_of
from pipeline.file_content import content_of

Model = TypeVar("Model", bound=BaseModel)

_MAX_BYTES = 48 * 1024  # of a file; parsing takes up to a second for as much
_MAX_DEPTH = 100
_MAX_VALUES = 500_000  # values and characters, with all aliases written out
_MAX_LINES, _MAX_LINE = 20, 1000  # lines and characters per line of a message

# Former dotted keys of params.yaml, and the keys that replace them.
RENAMED = {
    "search.hours": "search.timeout_hours",
    "search.timeout_minutes": "search.rung_timeout_minutes",
    "search.keep_states": "search.keep_checkpoints",
    "evaluate.confidence": "evaluate.confidence_level",
    "evaluate.robustness": "evaluate.corruptions",
    "evaluate.unfamiliar": "evaluate.out_of_distribution",
    "evaluate.unfamiliar.false_alarms": "evaluate.out_of_distribution.false_positive_rate",
    "evaluate.out_of_distribution.false_alarms": "evaluate.out_of_distribution.false_positive_rate",
    "evaluate.arrangement": "evaluate.pixel_permutation",
    "evaluate.look": "evaluate.interpretation",
    "register.replace": "register.promote_if",
}

# Rules that state the limit or the allowed values, such as `greater_than`, need no remedy.
_REMEDIES = {
    "bool_type": "write true or false",
    "int_type": "write an integer without quotes",
    "float_type": "write a number without quotes",
    "string_type": "write a string",
    "tuple_type": "write a list, such as [1, 2]",
}


class ParamsError(UserError):
    """An invalid params file. The message has one line for each violated rule."""


def read_yaml(path: Path) -> Any:
    """Read a YAML 1.2 file as plain Python values.

    Raises:
        ParamsError: The file is missing, empty or too large, is no regular file, is not UTF-8, or is refused by
            `parse_yaml`.
    """
    try:
        content = content_of(
            path, str(path), "a YAML file", _MAX_BYTES, "run from the repository root, or pass another file"
        )
        return parse_yaml(content.decode("utf-8"), path)
    except UnreadableError as error:
        raise ParamsError(str(error)) from None
    except UnicodeDecodeError as error:
        raise ParamsError(
            f"{path}: must be UTF-8 text, got byte {error.object[error.start]:#04x} at offset {error.start}; "
            "save it as UTF-8"
        ) from None


def parse_yaml(text: str, source: Path | str) -> Any:
    """Parse YAML 1.2 as plain Python values.

    Args:
        text: The content of a file. Tags such as `!!int` are refused.
        source: Name of the file in messages.

    Raises:
        ParamsError: The text is not YAML, contains a key twice or a tag, is nested too deeply, or expands to too much.
    """
    try:
        if _depth(text) > _MAX_DEPTH:
            raise RecursionError
        tag = next((each for each in _yaml().scan(text) if isinstance(each, TagToken)), None) if "!" in text else None
        if tag is not None:
            raise ParamsError(f"{source}: line {tag.start_mark.line + 1}: must not contain tags; write plain values")
        found = _yaml().load(text)
    except DuplicateKeyError as error:
        raise ParamsError(f"{source}: {_where(error)}{error.problem}; keep only one of them") from None
    except MarkedYAMLError as error:
        raise ParamsError(f"{source}: {_where(error)}not valid YAML: {error.problem or error.context}") from None
    except RecursionError:
        raise ParamsError(f"{source}: lists or mappings are nested too deeply; flatten them") from None
    except (YAMLError, ArithmeticError, LookupError, TypeError, ValueError) as error:  # for example, a huge number
        raise ParamsError(f"{source}: not valid YAML: {message_of(error)}; fix or quote the value") from None
    _require_plain(found, source)
    return found


def validate(model: type[Model], content: Any, source: Path | str) -> Model:
    """Validate `content` as a `model`. Lists become tuples; nothing else is converted.

    Raises:
        ParamsError: A rule is violated. The message has a line `source: dotted.key: rule, got value` for each
            violation.
    """
    _require_plain(content, source)
    try:
        text = json.dumps(content)
    except TypeError:
        raise ParamsError(f"{source}: must contain only numbers, strings, lists and mappings; quote dates") from None
    except (ValueError, RecursionError) as error:  # a list that is part of itself, a huge number
        raise ParamsError(f"{source}: cannot be converted to plain values: {error}; write the values out") from None
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        details = _unless_renamed(error.errors())
        lines = [_printable(_sentence(source, model, detail)) for detail in details[:_MAX_LINES]]
        if len(details) > _MAX_LINES:
            lines.append(f"{source}: and {len(details) - _MAX_LINES:,} more errors")
        raise ParamsError("\n".join(lines)) from None


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    return yaml


def _depth(text: str) -> int:
    """Depth of lists and mappings in brackets; the parser takes a second for a thousand levels."""
    depths = accumulate(1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[\]{}]", text))
    return max(depths, default=0)


def _require_plain(content: Any, source: Path | str) -> None:
    """Check that content is of limited size, also with aliases expanded, and that its strings can be names of files."""
    size, pending = 0, [content]
    while pending:
        node = pending.pop()
        parts = [*node.keys(), *node.values()] if isinstance(node, dict) else node if isinstance(node, list) else ()
        pending.extend(parts)
        size += 1 + (len(node) if isinstance(node, str) else 0)
        if size > _MAX_VALUES:
            raise ParamsError(
                f"{source}: must not contain more than {_MAX_VALUES:,} values and characters, with aliases written "
                "out; an alias must not be part of its own anchor; write the values out"
            )
        if isinstance(node, str) and (odd := re.search("[\x00\ud800-\udfff]", node)):
            raise ParamsError(f"{source}: strings must not contain {odd.group()!r}, got {_shown(node)}; remove it")


def _printable(text: str) -> str:
    """A line of a message, with line breaks and control characters as escapes, and of limited length."""
    line = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
    return line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}…"


def _where(error: MarkedYAMLError) -> str:
    mark = error.problem_mark
    return "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "


def _sentence(source: Path | str, model: type[BaseModel], detail: Mapping[str, Any]) -> str:
    """Format a violated rule as `file: dotted.key: rule, got value; remedy`."""
    path = [part for part in detail["loc"] if part not in ("range", "choices") and not _is_branch(part)]
    key = ".".join(str(part) for part in path)
    at = f"{source}: {key}: " if key else f"{source}: "
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden" and key in RENAMED:
        inside = [f"{old} is now {new}" for old, new in RENAMED.items() if old.startswith(f"{key}.")]
        return "; ".join([f"{at}renamed; write {RENAMED[key]}", *inside])
    if kind == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        nearest = difflib.get_close_matches(str(path[-1])[:100], known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known keys: {', '.join(known)}"
        return f"{at}unknown key; {hint}"
    if kind == "missing":
        return f"{at}missing; this key is required"
    rule = detail["msg"].removeprefix("Value error, ")
    rule = rule[0].lower() + rule[1:]
    got = "" if ", got " in rule else f", got {_shown(value)}"
    remedy = _REMEDIES.get(kind)
    return f"{at}{rule}{got}" + (f"; {remedy}" if remedy else "")


def _unless_renamed(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Omit the errors about missing keys whose former names are present."""
    former = {RENAMED.get(_dotted(detail)) for detail in details if detail["type"] == "extra_forbidden"}
    return [detail for detail in details if not (detail["type"] == "missing" and _dotted(detail) in former)]


def _dotted(detail: ErrorDetails) -> str:
    return ".".join(str(part) for part in detail["loc"])


def _is_branch(part: object) -> bool:
    """Whether a part of a pydantic error location is a branch of a union instead of a key."""
    return isinstance(part, str) and ("[" in part or part in ("int", "float", "constrained-int", "constrained-float"))


def _shown(value: object) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _known_keys(model: type[BaseModel], path: list[Any]) -> list[str]:
    """Return the keys that a model allows at a dotted path, in any branch of a union."""
    schema = _schema(model)
    forms = [schema]
    for part in path:
        below = [
            form.get("items", {}) if isinstance(part, int) else form.get("properties", {}).get(part, {})
            for form in forms
        ]
        forms = [form for node in below for form in _forms(node, schema.get("$defs", {}))]
    return list(dict.fromkeys(key for form in forms for key in form.get("properties", {})))


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True)


def _forms(node: dict[str, Any], definitions: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas of a JSON Schema node: the target of its `$ref`, or the node and its `anyOf` branches."""
    if "$ref" in node:
        return [definitions[node["$ref"].rsplit("/", 1)[1]]]
    return [node, *(form for branch in node.get("anyOf", ()) for form in _forms(branch, definitions))]
