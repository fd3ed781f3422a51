"""Save .keras files reproducibly, and load them without running code from the file."""

import hashlib
import json
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import keras
import numpy as np
from pydantic import ValidationError

from pipeline.cnn.keras_archive import (
    METADATA,
    REMEDY,
    count_weights,
    mappings,
    read_config,
    read_member,
    require_finite,
)
from pipeline.data.input_format import InputFormat, parse_format
from pipeline.data.value_range import BYTES, ValueRange
from pipeline.errors import UserError, message_of
from pipeline.files import write_file

_EARLIEST = (1980, 1, 1, 0, 0, 0)
_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


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
        UserError: The file is missing, damaged, not a Keras v3 file, or contains other objects than Keras's own layers;
            its weights lead to other files, are not finite, or are fewer than those of its network.
    """
    config, stored = read_config(path), count_weights(path)
    try:
        if (needed := _count_values(config)) <= stored:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except _ERRORS as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path}: must contain a network that Keras {keras.__version__} can load: {reason}; {REMEDY}"
        ) from None
    if needed > stored:
        raise UserError(
            f"{path}: must contain all weights of its network, which has {needed:,} values, got {stored:,}; {REMEDY}"
        )
    require_finite([(weight.path, np.asarray(weight)) for weight in model.weights], path)
    return model


def _count_values(config: dict[str, Any]) -> int:
    """Count the values of a network's weights without allocating them: a file can describe more than memory holds."""
    from keras.src.backend.common import global_state  # Keras keeps the variables here for a later initialization

    name = "uninitialized_variables"
    pending = list(global_state.get_global_attribute(name) or ())
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
            return sum(prod(weight.shape) for weight in model.weights)
    finally:
        global_state.set_global_attribute(name, pending)


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the class names that `save_model` saved in the file; empty if there are none.

    Raises:
        UserError: The file is missing, damaged, or not a Keras v3 file.
    """
    names = read_member(path, METADATA).get("classes", [])
    return tuple(str(name) for name in names)


def read_value_range(path: Path) -> ValueRange | None:
    """Read the raw values of black and white that `save_model` saved in the file; None if they are unknown.

    Files without a range come from an earlier version or another program, and use pixels from 0 to 255.

    Raises:
        UserError: The file is missing, damaged, or not a Keras v3 file.
    """
    found = read_member(path, METADATA).get("value_range", {})
    try:
        return None if found is None else ValueRange.model_validate_json(json.dumps(found))
    except ValidationError as error:
        reason = message_of(error)
        raise UserError(f"{path}: value_range in metadata.json is invalid: {reason}; {REMEDY}") from None


def read_input_format(path: Path) -> InputFormat | None:
    """Read how a file becomes an input, which `save_model` saved in the file; None if it is unknown.

    Files without a format come from an earlier version or another program, or the network was trained on arrays.

    Raises:
        UserError: The file is missing, damaged, or not a Keras v3 file.
    """
    found = read_member(path, METADATA).get("input_format")
    try:
        return None if found is None else parse_format(json.dumps(found))
    except ValidationError as error:
        reason = message_of(error)
        raise UserError(f"{path}: input_format in metadata.json is invalid: {reason}; {REMEDY}") from None


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
    for part in mappings(config):
        if isinstance(part.get("shared_object_id"), int):
            part["shared_object_id"] = numbers.setdefault(part["shared_object_id"], len(numbers) + 1)
    return json.dumps(config, sort_keys=True).encode()
