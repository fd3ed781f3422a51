"""Find recordings whose end is missing, which decoders read as shorter ones."""

from typing import Literal, NoReturn

from pipeline.errors import UnreadableError

_UNKNOWN = 0xFFFFFFFF  # size in the header of a recording that was written to a pipe; RF64: the size is elsewhere
_LAST_PAGE = 4  # flag of an OGG page


def require_complete(content: bytes, name: str) -> None:
    """Raise an error for a WAV file with fewer bytes than declared, and for an OGG file without its last page.

    The length of a FLAC file is known only to its decoder. Content in another format is not checked.

    Args:
        content: Content of the file.
        name: Name of the recording in messages.

    Raises:
        UnreadableError: The end is missing.
    """
    if content[:4] in (b"RIFF", b"RIFX", b"RF64") and content[8:12] == b"WAVE":
        declared, present = _wav_sizes(content)
        if present < declared:
            refuse_truncated(name, f"{present:,} of {declared:,} bytes of sound")
    elif content[:4] == b"OggS" and not _has_last_page(content):
        refuse_truncated(name, "no complete page that is marked as the last one")


def refuse_truncated(name: str, found: str) -> NoReturn:
    """Raise the error for a recording whose end is missing.

    Args:
        name: Name of the recording in messages.
        found: What the file contains.

    Raises:
        UnreadableError: Always.
    """
    raise UnreadableError(
        f"{name}: must be a complete recording, but its end is missing: got {found}; copy the file again, or, if "
        "this is all there is, convert it with an audio program"
    )


def _wav_sizes(content: bytes) -> tuple[int, int]:
    """Bytes of sound that a WAV file declares, and that it contains; (0, 0) if it declares none."""
    order: Literal["big", "little"] = "big" if content[:4] == b"RIFX" else "little"
    place, long_size = 12, 0
    while place + 8 <= len(content):
        kind, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], order)
        start = place + 8
        if kind == b"ds64":
            long_size = int.from_bytes(content[start + 8 : start + 16], "little")
        if kind == b"data":
            declared = long_size if size == _UNKNOWN else size
            return declared, min(declared, len(content) - start)
        place = start + size + size % 2
    return 0, 0


def _has_last_page(content: bytes) -> bool:
    """Whether the last page of an OGG file is complete and marked as the last one."""
    place = content.rfind(b"OggS\0")
    start = place + 27  # of the sizes of its segments
    if start > len(content):
        return False
    sizes = content[start : start + content[start - 1]]
    complete = len(sizes) == content[start - 1] and start + len(sizes) + sum(sizes) <= len(content)
    return complete and bool(content[place + 5] & _LAST_PAGE)
