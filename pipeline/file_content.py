"""Read the content of a file, or say why it cannot be read."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

from pipeline.errors import UnreadableError, UserError, message_of

MAX_JSON_BYTES = 1 << 30  # the names of ten million samples have some hundred megabytes

T = TypeVar("T")


def content_of(source: Path | str | bytes, name: str, what: str, max_bytes: int, remedy: str = "") -> bytes:
    """Return the bytes of a file.

    Args:
        source: Path of the file, an address that fsspec opens, such as `s3://bucket/key`, or the content, which is
            returned as it is.
        name: Name of the file in messages.
        what: What the file must be, such as `a recording`.
        max_bytes: Size above which the file is not read.
        remedy: What the user can do; empty: what suits an input file.

    Raises:
        UnreadableError: The file is missing, a broken link, a folder, a device or pipe, empty, too large, not permitted
            to be read, or changed while it was read.
    """
    if isinstance(source, bytes):
        if not source:
            raise UnreadableError(f"{name}: must be {what}, got no bytes")
        return source
    if isinstance(source, str):
        return _remote_content(source, name, what, max_bytes)
    with open_file(source, name, what, max_bytes, remedy) as file:
        return file.read()


@contextmanager
def open_file(path: Path, name: str, what: str, max_bytes: int, remedy: str = "") -> Iterator[BinaryIO]:
    """Open a file to be read from its start to its end.

    Args:
        path: Path of the file.
        name: As for `content_of`, like the other arguments.
        what: What the file must be.
        max_bytes: Size above which the file is not read.
        remedy: What the user can do.

    Raises:
        UnreadableError: As for `content_of`.
    """

    def refused(reason: str, advice: str = "") -> UnreadableError:
        return UnreadableError("; ".join(filter(None, (f"{name}: {reason}", remedy or advice))))

    try:
        try:
            _require_file(path.stat(), what, max_bytes, refused)
        except ValueError as error:  # the name contains a zero byte
            raise refused(f"cannot be opened: {error}") from None
        with open(path, "rb", opener=_open_without_waiting) as file:
            before = os.fstat(file.fileno())
            _require_file(before, what, max_bytes, refused)  # it may have been replaced
            yield file
            after = os.fstat(file.fileno())
            if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, file.tell()):
                raise UnreadableError(f"{name}: must not change while it is read; wait until it is complete")
    except FileNotFoundError:
        if path.is_symlink():
            raise refused(f"must be {what}, got a broken symbolic link") from None
        raise refused("no such file") from None
    except PermissionError:
        raise UnreadableError(f"{name}: permission denied; make the file readable") from None
    except OSError as error:  # for example, the name is too long
        raise refused(f"cannot be opened: {error}") from None


def read_json(path: Path, what: str, remedy: str, kind: type[T]) -> T:
    """Read a JSON file.

    Args:
        path: Path of the file.
        what: What the file must be, for messages, such as `the record of a run`.
        remedy: What the user can do if it is not.
        kind: Type of the content, which pydantic checks: a dataclass, or a type such as `dict[str, float]`.

    Raises:
        UserError: The file is missing, cannot be read, is too large, is not JSON, or has another content. NaN and
            infinity are not JSON.
    """
    from pydantic import TypeAdapter, ValidationError

    content = content_of(path, str(path), what, MAX_JSON_BYTES, remedy)
    try:
        found: Any = json.loads(content, parse_constant=_refuse)
        return TypeAdapter(kind).validate_python(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = " ".join(".".join(map(str, first["loc"])).split())
        reason = f"{place}: {first['msg']}" if place else first["msg"]
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:  # neither JSON nor UTF-8
        reason = message_of(error)
    raise UserError(f"{path}: must be {what}: {reason}; {remedy}")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _require_file(facts: os.stat_result, what: str, max_bytes: int, refused: Callable[..., UnreadableError]) -> None:
    """Raise an error unless a path leads to a file that is not empty and not too large."""
    if stat.S_ISDIR(facts.st_mode):
        raise refused(f"must be {what}, got a folder", "pass the files in it")
    if not stat.S_ISREG(facts.st_mode):  # opening a pipe would wait for a writer
        raise refused(f"must be {what}, got a pipe or a device", "pass a file")
    if facts.st_size == 0:
        raise refused(f"must be {what}, got an empty file")
    if facts.st_size > max_bytes:
        raise refused(f"must have at most {max_bytes:,} bytes, got {facts.st_size:,}", "split it into several files")


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that replaced it is opened without waiting for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _remote_content(address: str, name: str, what: str, max_bytes: int) -> bytes:
    import fsspec  # type: ignore[import-untyped]  # it has no types

    try:
        with fsspec.open(address, "rb") as file:
            content = bytes(file.read(max_bytes + 1))
    except FileNotFoundError as error:  # also raised because of a server that does not answer
        cause = error.__cause__
        reason = "no such file" if cause is None else f"cannot be fetched: {message_of(cause)}"
        raise UnreadableError(f"{name}: {reason}") from None
    except (ImportError, ValueError) as error:  # the protocol is unknown, or its package is missing
        raise UserError(f"{name}: cannot be opened: {message_of(error)}; {_how_to_open(address)}") from None
    except Exception as error:  # file systems raise exceptions of many kinds
        raise UnreadableError(f"{name}: cannot be fetched: {message_of(error) or type(error).__name__}") from None
    if not content:
        raise UnreadableError(f"{name}: must be {what}, got an empty file")
    if len(content) > max_bytes:
        raise UnreadableError(f"{name}: must have at most {max_bytes:,} bytes, got more; split it into several files")
    return content


def _how_to_open(address: str) -> str:
    """What to do about an address whose protocol fsspec cannot open."""
    from fsspec.registry import known_implementations  # type: ignore[import-untyped]  # it has no types

    known = known_implementations.get(address.partition("://")[0])
    if known is None:
        return "correct the address, or install the package of its protocol"
    package = known["class"].partition(".")[0]
    return "install its package" if package == "fsspec" else f"install the package with `pip install {package}`"
