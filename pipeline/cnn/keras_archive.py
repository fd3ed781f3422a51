"""Check a .keras file before Keras loads it: which parts it has, how large they are, and which objects they name."""

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backbones.keras_weights import count_stored_values, require_ratio
from pipeline.errors import UserError, shown_first

REMEDY = "pass a .keras file saved by Keras 3, such as models/model.keras"
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_MAX_JSON = 32 * 2**20
# Layers that run code from the file, or that read other files.
_REFUSED = {
    "Lambda": "runs code from the file",
    "__lambda__": "runs code from the file",
    "TFSMLayer": "runs code from another file",
    "TorchModuleWrapper": "runs code from the file",
    "JaxLayer": "runs code from the file",
    "FlaxLayer": "runs code from the file",
    "StringLookup": "can read another file",
    "IntegerLookup": "can read another file",
    "TextVectorization": "can read another file",
}
_MODULES = {
    "keras", "keras.layers", "keras.models", "keras.initializers", "keras.regularizers", "keras.constraints",
    "keras.activations", "keras.dtype_policies", "keras.src.models.functional", "keras.src.models.sequential",
}  # fmt: skip


def read_config(path: Path) -> dict[str, Any]:
    """Read the configuration of the network, after all checks that are possible without Keras.

    Raises:
        UserError: The file is missing, damaged, or not a Keras v3 file; it has other parts than a network, expands
            beyond its size, or names objects other than Keras's own layers; its weights lead to other files.
    """
    config = read_member(path, CONFIG)
    _require_stock_objects(config, path)
    return config


def read_member(path: Path, name: str) -> dict[str, Any]:
    """Read a JSON object from a .keras file.

    Raises:
        UserError: The file is missing, damaged, or not a Keras v3 file, or has other parts than a network.
    """
    content = _read(path, name)
    try:
        found = json.loads(content)
    except (RecursionError, ValueError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{path}: {name} cannot be read: {reason}; {REMEDY}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: {name} must be a JSON object, got {type(found).__name__}; {REMEDY}")
    return found


def count_weights(path: Path) -> int:
    """Count the values of all weights in the file, which must be stored in the file itself.

    Raises:
        UserError: The weights cannot be read, lead to other files, or expand beyond the size of the file.
    """
    return count_stored_values(_read(path, WEIGHTS), f"{path}: {WEIGHTS}", REMEDY)


def mappings(node: Any) -> Iterator[dict[str, Any]]:
    """Yield all JSON objects within a value, outer ones first, at any depth."""
    pending = [node]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            yield each
        pending += reversed(list(each.values()) if isinstance(each, dict) else each if isinstance(each, list) else [])


def _read(path: Path, name: str) -> bytes:
    if not path.is_file():
        raise UserError(f"{path}: no such file; run `dvc repro`, or {REMEDY}")
    with path.open("rb") as file:
        if file.read(len(_HDF5)) == _HDF5:
            raise UserError(f"{path}: must be a Keras v3 file (.keras), got HDF5, whose loading is unsafe; {REMEDY}")
    if path.suffix != ".keras":
        raise UserError(f"{path}: must have the suffix .keras, got {path.suffix or 'no suffix'!r}; {REMEDY}")
    if not zipfile.is_zipfile(path):
        raise UserError(
            f"{path}: must be a Keras v3 file, which is a zip archive, got a different format or a damaged file; "
            f"{REMEDY}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            _require_known_parts(archive, path)
            return archive.read(name)
    except KeyError:
        raise UserError(f"{path}: must be a Keras v3 file, but {name} is missing; {REMEDY}") from None
    except (EOFError, NotImplementedError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: {name} cannot be read: {error}; {REMEDY}") from None


def _require_known_parts(archive: zipfile.ZipFile, path: Path) -> None:
    """Check names and sizes of all parts before any is read. No part is ever unpacked into a folder."""
    names = [part.filename for part in archive.infolist()]
    known = (CONFIG, METADATA, WEIGHTS)
    if foreign := [repr(name) for name in names if name not in known]:
        raise UserError(
            f"{path}: must contain only {', '.join(known)}, got also {shown_first(foreign)[:1000]}; {REMEDY}"
        )
    if len(set(names)) < len(names):
        raise UserError(f"{path}: must contain each part once, got {', '.join(sorted(names))}; {REMEDY}")
    for part in archive.infolist():
        if part.filename != WEIGHTS and part.file_size > _MAX_JSON:
            raise UserError(
                f"{path}: {part.filename} must have at most {_MAX_JSON:,} bytes, got {part.file_size:,}; {REMEDY}"
            )
        if part.filename == WEIGHTS:
            require_ratio(part.file_size, path.stat().st_size, f"{path}: {WEIGHTS}", REMEDY)


def _require_stock_objects(config: dict[str, Any], path: Path) -> None:
    for part in mappings(config):
        name, module = part.get("class_name"), part.get("module", "keras")
        if name is None:
            continue
        if name in _REFUSED:
            raise UserError(
                f"{path}: must not contain {str(name).strip('_')}, which {_REFUSED[name]}; "
                "build the network from other layers"
            )
        layer = module in _MODULES or str(module).startswith("keras.src.ops.")
        stock = (layer and name != "function") or (str(module) in ("None", "builtins") and str(name).startswith("__"))
        if not stock or part.get("registered_name") not in (None, name):
            raise UserError(
                f"{path}: must contain only Keras's built-in layers, got {part.get('registered_name') or name} "
                f"of {module}; build the network from built-in layers"
            )


def require_finite(weights: list[tuple[str, Any]], path: Path) -> None:
    """Raise an error if a weight is NaN or infinite.

    Args:
        weights: Name and values of each variable.
        path: File of the network, in the message.
    """
    for name, values in weights:
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise UserError(
                f"{path}: must have finite weights, got NaN or infinity in {name}; train the network again, with a "
                "lower learning rate if the training diverged"
            )
