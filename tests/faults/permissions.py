"""Permissions of files that also hold for tests that run as root."""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER = 1, 2, 3  # linux/capability.h
PR_CAPBSET_DROP = 24  # linux/prctl.h
VERSION_3 = 0x20080522  # _LINUX_CAPABILITY_VERSION_3


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


def _drop_capabilities() -> None:
    """Take the capabilities that override permissions from this thread and from the programs that it starts."""
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
