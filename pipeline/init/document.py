"""Write params.yaml: values in the order of the previous file, a comment for each key, reasons above the keys.

The text has the form that DVC writes, so that `dvc exp run -S key=value` changes one line.
"""

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ruamel.yaml import YAML

from pipeline.sections import Params
from pipeline.surveys.recommendation import Recommendation

_WIDTH = 110
_COMMENT_COLUMN = 30
_NAMES = ("Optuna", "Ray")  # with which a description may begin


def decided(base: Mapping[str, Any], choices: Sequence[Recommendation]) -> dict[str, Any]:
    """Replace the chosen values in the content of a params file."""
    content: dict[str, Any] = _copied(base)
    for choice in choices:
        *parents, last = choice.key.split(".")
        section = content
        for name in parents:
            section = section[name]
        section[last] = choice.value
    return content


def document(content: Mapping[str, Any], reasons: Mapping[str, str], header: str) -> str:
    """Write the text of a params file.

    Args:
        content: Plain values, in order.
        reasons: Comments above the keys, by dotted key.
        header: Lines at the top of the file, without `#`.
    """
    lines = ["# yaml-language-server: $schema=params.schema.json", *(f"# {line}" for line in header.split("\n"))]
    schema = Params.model_json_schema(by_alias=True)
    for name, value in content.items():
        lines += ["", *_entry(name, value, schema["properties"].get(name, {}), schema, "", (), reasons)]
    return as_dvc_writes("\n".join(lines) + "\n")


def as_dvc_writes(text: str) -> str:
    """Convert a YAML text to what DVC writes after reading it."""
    yaml: Any = YAML()
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(yaml.load(text), stream)
    return stream.getvalue()


def _entry(
    name: str,
    value: Any,
    node: Mapping[str, Any],
    schema: Mapping[str, Any],
    indent: str,
    above: tuple[str, ...],
    reasons: Mapping[str, str],
) -> Iterator[str]:
    """Yield the lines of one key."""
    path = (*above, name)
    reason = reasons.get(".".join(path), "")
    yield from _comment_lines(reason, indent)
    if isinstance(value, Mapping) and value:
        below = _resolved(node, schema).get("properties", {})
        comment = _comment(node) if above and "allOf" not in node else ""
        lists = _lists_in_a_row(value)
        reasons = _before_lists(value, path, reasons)
        yield from _comment_lines("; ".join(f"{key}: {_comment(below.get(key, {}))}" for key in lists), indent)
        yield _with_comment(f"{indent}{name}:", comment)
        for key, inner in value.items():
            of_key = {} if key in lists else below.get(key, {})
            yield from _entry(key, inner, of_key, schema, indent + "  ", path, reasons)
    elif isinstance(value, list | tuple) and value:
        yield from _keys_of_items(value, node, schema, indent)
        # Above the key: when DVC empties a list with a comment next to its key, it writes invalid YAML.
        yield from _comment_lines(_comment(node), indent)
        yield f"{indent}{name}:"
        yield from _items(value, indent)
    else:
        yield _with_comment(f"{indent}{name}: {_scalar(value)}".rstrip(), _comment(node))


def _keys_of_items(
    values: Sequence[Any], node: Mapping[str, Any], schema: Mapping[str, Any], indent: str
) -> Iterator[str]:
    """Yield comments above a list of mappings that explain their keys. DVC drops comments within a list."""
    inside = _resolved(_resolved(node, schema).get("items", {}), schema).get("properties", {})
    keys = dict.fromkeys(key for value in values if isinstance(value, Mapping) for key in value)
    text = "; ".join(f"{key}: {_comment(inside.get(key, {}))}" for key in keys)
    yield from _comment_lines(text, indent)


def _lists_in_a_row(content: Mapping[str, Any]) -> list[str]:
    """Return the keys of a mapping's lists if two are adjacent: DVC drops a comment between them."""
    keys = list(content)
    lists = [key for key in keys if isinstance(content[key], list | tuple) and content[key]]
    adjacent = any(first in lists and second in lists for first, second in pairwise(keys))
    return lists if adjacent else []


def _before_lists(content: Mapping[str, Any], path: Sequence[str], reasons: Mapping[str, str]) -> dict[str, str]:
    """Move the reason of a key that follows a list above the list: DVC drops a comment between them."""
    moved = dict(reasons)
    for first, second in pairwise(content):
        before, after = (".".join((*path, key)) for key in (first, second))
        if isinstance(content[first], list | tuple) and content[first] and after in moved:
            moved[before] = f"{moved.get(before, '')} {second}: {moved.pop(after)}".strip()
    return moved


def _comment_lines(text: str, indent: str) -> Iterator[str]:
    """Wrap a comment to the line width."""
    for line in textwrap.wrap(text, _WIDTH - len(indent) - 2):
        yield f"{indent}# {line}"


def _items(values: Sequence[Any], indent: str) -> Iterator[str]:
    """Yield the lines of a list's items."""
    for value in values:
        if not isinstance(value, Mapping):
            yield f"{indent}- {_scalar(value)}"
            continue
        for place, (key, inner) in enumerate(value.items()):
            for line in _entry(key, inner, {}, {}, "", (), {}):
                yield f"{indent}{'- ' if place == 0 else '  '}{line}"


def _with_comment(line: str, comment: str) -> str:
    return f"{line:<{_COMMENT_COLUMN - 1}} # {comment}" if comment else line


def _comment(node: Mapping[str, Any]) -> str:
    """Return the description of a key in the schema, with its choices unless it already names them."""
    text = str(node.get("description", "")).removesuffix(".")
    text = " ".join(text.split("\n\n")[0].split())
    choices = [str(each) for each in node.get("enum", ()) if each is not None]
    if choices and not all(each in text for each in choices):
        text = f"{text}: {' | '.join(choices)}" if text else " | ".join(choices)
    ordinary = (text[1:2].islower() or text[1:2] == " ") and not text.startswith(_NAMES)
    return text[:1].lower() + text[1:] if ordinary else text


def _scalar(value: Any) -> str:
    """Format a plain value, quoted where YAML needs it."""
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.width = 10_000
    yaml.default_flow_style = True
    stream = io.StringIO()
    yaml.dump([value], stream)
    return "" if value is None else stream.getvalue().strip()[1:-1]


def _resolved(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema that a reference names; the node itself if it is not a reference."""
    reference = node.get("$ref") or next((each["$ref"] for each in node.get("allOf", ()) if "$ref" in each), None)
    return schema["$defs"][str(reference).rsplit("/", 1)[1]] if reference else node


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value
