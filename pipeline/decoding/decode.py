"""Decode many files on all cores, in order, with a digest of each; files that a store contains are only read."""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from pipeline.decoding.store import DecodeStore, Packed, pack
from pipeline.errors import UnreadableError, UserError
from pipeline.file_content import content_of
from pipeline.terminal.progress import progress

MAX_FILE = 2 * 1024**3  # bytes of a file that is read
_CHUNK, _CHUNK_BYTES = 64, 8 * 1024**2  # files that a process gets at once, and bytes of their samples
_CONNECTIONS = 16  # of each process
_TRIAL = 0.2  # seconds for which this process decodes alone
_WORTHWHILE = 1.5  # seconds of remaining work from which processes pay: starting them takes about half a second


class Decoded(NamedTuple):
    """The samples in a file.

    Attributes:
        samples: (samples, *grid, channels) values.
        facts: What is known about the file; JSON values.
    """

    samples: NDArray[Any]
    facts: dict[str, Any]


Decoder = Callable[[bytes, str], Decoded]  # content and name of a file -> samples; raises UnreadableError
Fetcher = Callable[[Path | str, str], bytes]  # path or address, and name of a file -> content; raises UnreadableError


def fetch_file(path: Path | str, name: str) -> bytes:
    """Return the content of a file, or of the file at an address."""
    return content_of(path, name, "a file of the source", MAX_FILE)


class FileResult(NamedTuple):
    """Result for one file.

    Attributes:
        digest: SHA-256 of its content, by which the store finds its samples.
        problem: Why it cannot be read; empty if it was read.
    """

    digest: str
    problem: str


class _Answer(NamedTuple):
    digest: str
    problem: str
    packed: Packed | None  # None: unreadable, or already in the store


def decode_files(
    files: Sequence[Path | str],
    names: Sequence[str],
    decode: Decoder,
    store: DecodeStore,
    description: str,
    fetch: Fetcher = fetch_file,
) -> list[FileResult]:
    """Decode files into a store.

    Args:
        files: Paths or addresses of the files.
        names: Names of the files in messages.
        decode: Function that decodes the content of a file. It is called in other processes, so it must be picklable.
        store: The open store. Files whose content it contains are read, but not decoded.
        description: Description of the work, for the progress.
        fetch: Function that returns the content of a file. It must be picklable, too.

    Returns:
        The result of each file, in the same order.

    Raises:
        UserError: A process died.
    """
    results = []
    answers = _answers(list(zip(files, names, strict=True)), _Job(decode, frozenset(store.found), fetch))
    for number, answer in enumerate(progress(answers, description, len(files))):
        if answer.packed is not None:
            store.add(answer.digest, answer.packed)
        if number % _CHUNK == 0:
            store.flush()
        results.append(FileResult(answer.digest, answer.problem))
    return results


class _Job(NamedTuple):
    decode: Decoder
    known: frozenset[str]  # digests of the files that the store contains
    fetch: Fetcher


def _answers(files: Sequence[tuple[Path | str, str]], job: _Job) -> Iterator[_Answer]:
    """Yield the answers of the files, from several processes if these save time."""
    workers, done, size = len(os.sched_getaffinity(0)), 0, 0
    began = time.monotonic()
    while done < len(files) and time.monotonic() - began < _TRIAL:
        for answer in _answered(files[done : done + _CONNECTIONS], job):
            size += 0 if answer.packed is None else len(answer.packed.content)
            done += 1
            yield answer
    rest = files[done:]
    if not rest or workers == 1 or (time.monotonic() - began) * len(rest) < _WORTHWHILE * done:
        yield from _answered(rest, job)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, (job,)) as pool:
        try:
            yield from _in_order(pool, rest, 4 * workers, size // max(1, done))
        except BrokenProcessPool:
            raise UserError(
                "data.source: a process that decodes files died, probably for lack of memory; run prepare again, which "
                "continues after the files that were decoded"
            ) from None


def _in_order(
    pool: ProcessPoolExecutor, files: Sequence[tuple[Path | str, str]], ahead: int, size: int
) -> Iterator[_Answer]:
    """Yield the answers in the order of the files, with a limited number of chunks in memory.

    Args:
        pool: The processes.
        files: The files.
        ahead: Number of chunks in memory.
        size: Bytes of the samples in a file; those of the largest file so far are used if they are more.
    """
    waiting: deque[Future[list[_Answer]]] = deque()
    start = 0
    while start < len(files) or waiting:
        if start < len(files) and len(waiting) < ahead:
            end = start + max(1, min(_CHUNK, _CHUNK_BYTES // max(1, size)))
            waiting.append(pool.submit(_answer_chunk, files[start:end]))
            start = end
            continue
        for answer in waiting.popleft().result():
            size = max(size, 0 if answer.packed is None else len(answer.packed.content))
            yield answer


_job: _Job  # of a process of the pool


def _start(job: _Job) -> None:
    global _job
    _job = job


def _answer_chunk(chunk: Sequence[tuple[Path | str, str]]) -> list[_Answer]:
    return list(_answered(chunk, _job))


def _answered(files: Sequence[tuple[Path | str, str]], job: _Job) -> Iterator[_Answer]:
    """Yield the answer of each file. Remote files are fetched by several threads, since each takes a round trip."""
    if not any(isinstance(path, str) for path, _ in files):
        yield from (_answer(path, name, job) for path, name in files)
        return
    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        for start in range(0, len(files), _CHUNK):
            yield from threads.map(lambda file: _answer(file[0], file[1], job), files[start : start + _CHUNK])


def _answer(path: Path | str, name: str, job: _Job) -> _Answer:
    digest = ""
    try:
        content = job.fetch(path, name)
        digest = hashlib.sha256(content).hexdigest()
        return _Answer(digest, "", None if digest in job.known else pack(*job.decode(content, name)))
    except UnreadableError as error:
        return _Answer(digest, str(error), None)
