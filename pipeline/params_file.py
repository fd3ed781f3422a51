"""Reading params.yaml: YAML 1.2 as DVC reads it, every error with file, dotted key, rule, value and remedy."""

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pipeline.errors import UserError
from pipeline.params.renamed import KEYS as RENAMED
from pipeline.params.sections import Params

Model = TypeVar("Model", bound=BaseModel)

_REMEDIES = {
    "bool_type": "write true or false",
    "int_type": "write a whole number, without quotes and without a fraction",
    "float_type": "write a number, without quotes",
    "string_type": "write text",
    "tuple_type": "write a list, such as [1, 2]",
}


class ParamsError(UserError):
    """A params file that breaks a rule; the message has a line for each broken one."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML 1.2 file, as plain Python values.

    Raises:
        ParamsError: the file is missing, not UTF-8, not YAML, or gives a key twice.
    """
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the repository's root, or name another file") from None
    except IsADirectoryError:
        raise ParamsError(f"{path}: is a folder; name a YAML file") from None
    except UnicodeDecodeError as error:
        raise ParamsError(
            f"{path}: must be UTF-8 text, got byte {error.object[error.start]:#04x} at {error.start}"
        ) from None
    except DuplicateKeyError as error:
        raise ParamsError(f"{path}: {_where(error)}{error.problem}; keep one of them") from None
    except MarkedYAMLError as error:
        raise ParamsError(f"{path}: {_where(error)}not valid YAML: {error.problem or error.context}") from None
    except (YAMLError, KeyError, ValueError) as error:  # a control character, an impossible date, a huge number
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}; mend or quote it") from None
    except RecursionError:
        raise ParamsError(f"{path}: nests lists or mappings too deep; flatten it") from None


def load_params(path: Path) -> Params:
    """params.yaml, validated as a whole.

    Raises:
        ParamsError: any rule is broken; all broken rules are listed.
    """
    return validate(Params, read_yaml(path), path)


def validate(model: type[Model], content: Any, source: Path | str) -> Model:
    """`content` as a `model`; lists become tuples, nothing else is converted.

    Raises:
        ParamsError: a line `source: dotted.key: rule, got value` for each broken rule.
    """
    try:
        text = json.dumps(content)
    except TypeError:
        raise ParamsError(f"{source}: must hold numbers, text, lists and mappings only; quote dates") from None
    except (ValueError, RecursionError) as error:  # a list that is part of itself, a huge number
        raise ParamsError(f"{source}: cannot be taken as values: {error}; write the values out") from None
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        details = _unless_renamed(error.errors())
        raise ParamsError("\n".join(_sentence(source, model, detail) for detail in details)) from None


def _where(error: MarkedYAMLError) -> str:
    mark = error.problem_mark
    return "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "


def _sentence(source: Path | str, model: type[BaseModel], detail: Mapping[str, Any]) -> str:
    """One broken rule as `file: dotted.key: rule, got value; remedy`."""
    path = [part for part in detail["loc"] if part not in ("range", "choices") and not _is_branch(part)]
    key = ".".join(str(part) for part in path)
    at = f"{source}: {key}: " if key else f"{source}: "
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden" and key in RENAMED:
        inside = [f"{old} is {new} now" for old, new in RENAMED.items() if old.startswith(f"{key}.")]
        return "; ".join([f"{at}renamed; write {RENAMED[key]}", *inside])
    if kind == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        nearest = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known here: {', '.join(known)}"
        return f"{at}unknown key; {hint}"
    if kind == "missing":
        return f"{at}missing; every key must be given"
    rule = detail["msg"].removeprefix("Value error, ")
    rule = rule[0].lower() + rule[1:]
    got = "" if ", got " in rule else f", got {_shown(value)}"
    remedy = _REMEDIES.get(kind)
    return f"{at}{rule}{got}" + (f"; {remedy}" if remedy else "")


def _unless_renamed(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out missing keys whose former names are there."""
    former = {RENAMED.get(_dotted(detail)) for detail in details if detail["type"] == "extra_forbidden"}
    return [detail for detail in details if not (detail["type"] == "missing" and _dotted(detail) in former)]


def _dotted(detail: ErrorDetails) -> str:
    return ".".join(str(part) for part in detail["loc"])


def _is_branch(part: object) -> bool:
    """Whether a part of pydantic's location names a branch of a union instead of a key."""
    return isinstance(part, str) and ("[" in part or part in ("int", "float", "constrained-int", "constrained-float"))


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _known_keys(model: type[BaseModel], path: list[Any]) -> list[str]:
    """The keys that may stand at a dotted path of a model, in any of its forms."""
    schema = model.model_json_schema(by_alias=True)
    forms = [schema]
    for part in path:
        below = [
            form.get("items", {}) if isinstance(part, int) else form.get("properties", {}).get(part, {})
            for form in forms
        ]
        forms = [form for node in below for form in _forms(node, schema.get("$defs", {}))]
    return list(dict.fromkeys(key for form in forms for key in form.get("properties", {})))


def _forms(node: dict[str, Any], definitions: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The schemas that a node of a JSON Schema stands for: itself, or what its reference and branches name."""
    if "$ref" in node:
        return [definitions[node["$ref"].rsplit("/", 1)[1]]]
    return [node, *(form for branch in node.get("anyOf", ()) for form in _forms(branch, definitions))]
