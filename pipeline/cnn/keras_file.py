"""Save .keras files reproducibly, and load them without running code from the file."""

import hashlib
import json
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import keras
import numpy as np
from pydantic import ValidationError

from pipeline.data.input_format import InputFormat, parse_format
from pipeline.data.value_range import BYTES, ValueRange
from pipeline.errors import UserError, message_of
from pipeline.files import write_file

_EARLIEST = (1980, 1, 1, 0, 0, 0)
_HDF5 = b"\x89HDF\r\n\x1a\n"
_REMEDY = "pass a .keras file saved by Keras 3, such as models/model.keras"


def save_model(
    model: keras.Model,
    path: Path,
    classes: Sequence[str] = (),
    value_range: ValueRange | None = BYTES,
    input_format: InputFormat | None = None,
) -> None:
    """Save a network atomically. Equal networks produce identical bytes.

    Args:
        model: A built network.
        path: Target file; must end in .keras.
        classes: Names of the classes, which `read_classes` reads back.
        value_range: Raw values of black and white, which `read_value_range` reads back; None: unknown.
        input_format: How a file becomes an input, which `read_input_format` reads back; None: unknown.
    """
    rewritten = BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        model.save(written := Path(folder, "written.keras"))
        with zipfile.ZipFile(written) as source, zipfile.ZipFile(rewritten, "w") as target:
            for name in sorted(source.namelist()):
                content = source.read(name)
                if name == "metadata.json":
                    content = _metadata(content, classes, value_range, input_format)
                elif name == "config.json":
                    content = _plain_json(json.loads(content))
                member = zipfile.ZipInfo(name, _EARLIEST)
                member.create_system, member.external_attr = 3, 0o644 << 16  # the same on every system
                target.writestr(member, content)
    write_file(path, rewritten.getvalue())


def load_model(path: Path) -> Any:
    """Load a network without running code from the file.

    Raises:
        UserError: The file is missing, damaged, not a Keras v3 file, or contains layers other than Keras's own.
    """
    _require_stock_layers(_read_member(path, "config.json"), path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        ImportError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path}: must contain a network that Keras {keras.__version__} can load: {reason}; {_REMEDY}"
        ) from None


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the class names that `save_model` saved in the file; empty if there are none.

    Raises:
        UserError: The file is missing, damaged, or not a Keras v3 file.
    """
    names = _read_member(path, "metadata.json").get("classes", [])
    return tuple(str(name) for name in names)


def read_value_range(path: Path) -> ValueRange | None:
    """Read the raw values of black and white that `save_model` saved in the file; None if they are unknown.

    Files without a range come from an earlier version or another program, and use pixels from 0 to 255.

    Raises:
        UserError: The file is missing, damaged, or not a Keras v3 file.
    """
    found = _read_member(path, "metadata.json").get("value_range", {})
    try:
        return None if found is None else ValueRange.model_validate_json(json.dumps(found))
    except ValidationError as error:
        reason = message_of(error)
        raise UserError(f"{path}: value_range in metadata.json is invalid: {reason}; {_REMEDY}") from None


def read_input_format(path: Path) -> InputFormat | None:
    """Read how a file becomes an input, which `save_model` saved in the file; None if it is unknown.

    Files without a format come from an earlier version or another program, or the network was trained on arrays.

    Raises:
        UserError: The file is missing, damaged, or not a Keras v3 file.
    """
    found = _read_member(path, "metadata.json").get("input_format")
    try:
        return None if found is None else parse_format(json.dumps(found))
    except ValidationError as error:
        reason = message_of(error)
        raise UserError(f"{path}: input_format in metadata.json is invalid: {reason}; {_REMEDY}") from None


def model_digest(model: keras.Model) -> str:
    """SHA-256 of a network's configuration and weights, in hexadecimal digits.

    It does not depend on files, times, run ids, or Keras's numbering of objects.
    """
    config = json.loads(model.to_json())
    for key in ("compile_config", "keras_version"):
        config.pop(key, None)
    content = hashlib.sha256(_plain_json(config))
    for weight in model.get_weights():
        content.update(f"{weight.dtype}{weight.shape}".encode())
        content.update(np.ascontiguousarray(weight).tobytes())
    return content.hexdigest()


def _metadata(
    content: bytes, classes: Sequence[str], value_range: ValueRange | None, input_format: InputFormat | None
) -> bytes:
    metadata = {key: value for key, value in json.loads(content).items() if key != "date_saved"}
    if classes:
        metadata["classes"] = list(classes)
    if value_range != BYTES:
        metadata["value_range"] = None if value_range is None else value_range.model_dump(mode="json")
    if input_format is not None:
        metadata["input_format"] = input_format.model_dump(mode="json")
    return json.dumps(metadata).encode()


def _plain_json(config: Any) -> bytes:
    """Serialize a configuration, with shared objects numbered by their order instead of their memory addresses."""
    numbers: dict[int, int] = {}
    for part in _mappings(config):
        if isinstance(part.get("shared_object_id"), int):
            part["shared_object_id"] = numbers.setdefault(part["shared_object_id"], len(numbers) + 1)
    return json.dumps(config, sort_keys=True).encode()


def _mappings(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _mappings(child)


def _read_member(path: Path, name: str) -> dict[str, Any]:
    """Read a JSON object from a .keras file."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; run `dvc repro`, or {_REMEDY}")
    with path.open("rb") as file:
        if file.read(len(_HDF5)) == _HDF5:
            raise UserError(f"{path}: must be a Keras v3 file (.keras), got HDF5, whose loading is unsafe; {_REMEDY}")
    if path.suffix != ".keras":
        raise UserError(f"{path}: must have the suffix .keras, got {path.suffix or 'no suffix'!r}; {_REMEDY}")
    if not zipfile.is_zipfile(path):
        raise UserError(
            f"{path}: must be a Keras v3 file, which is a zip archive, got a different format or a damaged file; "
            f"{_REMEDY}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            content = json.loads(archive.read(name))
    except KeyError:
        raise UserError(f"{path}: must be a Keras v3 file, but {name} is missing; {_REMEDY}") from None
    except (EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: {name} cannot be read: {error}; {_REMEDY}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: {name} must be a JSON object, got {type(content).__name__}; {_REMEDY}")
    return content


def _require_stock_layers(config: dict[str, Any], path: Path) -> None:
    for part in _mappings(config):
        name, module = part.get("class_name"), part.get("module", "keras")
        if name is None:
            continue
        if name in ("Lambda", "TFSMLayer", "__lambda__"):
            raise UserError(
                f"{path}: must not contain {str(name).strip('_')}, which runs code from the file; "
                "build the network from other layers"
            )
        stock = module is None or str(module).split(".")[0] in ("keras", "builtins")
        if not stock or part.get("registered_name") not in (None, name):
            raise UserError(
                f"{path}: must contain only Keras's built-in layers, got {part.get('registered_name') or name} "
                f"of {module}; build the network from built-in layers"
            )
