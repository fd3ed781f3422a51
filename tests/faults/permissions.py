"""Permissions of files and folders, which also hold for tests that run as root."""

import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER = 1, 2, 3  # linux/capability.h
PR_CAPBSET_DROP = 24  # linux/prctl.h
VERSION_3 = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
NOBODY = 65534


def with_ordinary_permissions(function: Callable[[], Any]) -> Any:
    """Call a function in a thread that is denied what permissions deny, even to root. Processes it starts are, too.

    Skips the test if the process is root, and must not give up its capabilities.
    """

    def in_thread() -> Any:
        if os.geteuid() == 0:
            _drop_capabilities()
        return function()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(in_thread).result()


def folders(top: Path) -> list[Path]:
    return [top, *(path for path in top.rglob("*") if path.is_dir())]


def read_only(top: Path) -> None:
    """Deny writing to a folder and the folders in it."""
    for folder in folders(top):
        folder.chmod(0o555)


def of_another_user(top: Path) -> None:
    """Give a folder to another user, and deny all access to others."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    os.chown(top, NOBODY, NOBODY)
    top.chmod(0o700)


def give_back(top: Path) -> None:
    """Give a folder to this user, with all permissions."""
    os.chown(top, os.geteuid(), os.getegid())
    for folder in folders(top):
        folder.chmod(0o755)


def _drop_capabilities() -> None:
    """Take the capabilities that override permissions from this thread and from the programs that it starts."""
    if sys.platform != "linux":
        pytest.skip("root on a system without capabilities")
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(VERSION_3, 0), (ctypes.c_uint32 * 6)()
    results = [libc.capget(header, sets)]
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER):
        results.append(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0))
        for place in (0, 1):  # the effective and the permitted ones
            sets[place] &= ~(1 << capability)
    results.append(libc.capset(header, sets))
    if any(results):
        pytest.skip(f"root that must not give up its capabilities: {os.strerror(ctypes.get_errno())}")
