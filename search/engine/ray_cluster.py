"""The way to a Ray cluster, of this machine or of several, that has what a study's workers need."""

import logging
import math
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from pipeline.console import held_back_stderr
from pipeline.errors import UserError
from pipeline.params import RayParams

_LOGGER = logging.getLogger(__name__)

_PROBE_SECONDS = 5.0
# The name of a Unix socket has at most 107 bytes, of which Ray uses up to 68:
# /ray/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store
_LONGEST_FOLDER = 38


def connect(settings: RayParams, workers: int) -> Any:
    """Ray, connected to a cluster that has what the workers need.

    Raises:
        UserError: Ray is not installed, the cluster is out of reach, or has less than the workers need.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UserError(
            "params.yaml: search.engine: ray needs the Python package ray, which is not installed; "
            "install it with `make extras EXTRAS=ray`, or use engine: inline"
        ) from None
    _probe(settings.address)
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "ignore_reinit_error": False}
    threads = math.ceil(workers * settings.cpus)
    if settings.address is None and threads > (os.cpu_count() or threads):
        _LOGGER.info(
            f"the {workers} workers ask for {threads} processors together, but this machine has {os.cpu_count()}"
        )
    try:
        with held_back_stderr(True):
            if settings.address is None:
                ray.init(
                    address="local",  # not a cluster that somebody else has started here
                    num_cpus=max(os.cpu_count() or 1, threads),
                    include_dashboard=False,
                    _node_ip_address="127.0.0.1",
                    _temp_dir=_short_folder(),
                    **common,
                )
            else:
                root = Path(__file__).resolve().parents[2]
                modules = [str(root / "pipeline"), str(root / "search")]
                ray.init(address=settings.address, runtime_env={"py_modules": modules}, **common)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise _out_of_reach(settings.address, error) from None
    _check_resources(ray, settings, workers)
    return ray


def _short_folder() -> str | None:
    """Where Ray keeps its session, if its own choice below TMPDIR is too long for the name of a Unix socket."""
    chosen = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(os.fsencode(chosen)) <= _LONGEST_FOLDER:
        return None
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        if os.access(folder, os.W_OK | os.X_OK):
            return f"{folder}/ray-{os.getuid()}"  # Ray's own /tmp/ray may be another user's
    return None


def _probe(address: str | None) -> None:
    """Knock at a cluster's door; Ray itself would knock for minutes."""
    host, separator, port = (address or "").removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), _PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _out_of_reach(address, error) from None


def _out_of_reach(address: str | None, error: BaseException) -> UserError:
    if address is None:
        return UserError(
            "params.yaml: search.engine: ray must be able to start Ray on this machine, but: "
            f"{first_sentence(error)}; use engine: inline"
        )
    return UserError(
        f"params.yaml: search.ray.address: must be a Ray cluster within reach, got {address!r}: "
        f"{first_sentence(error)}; start it (docs/cluster.md), or use null"
    )


def _check_resources(ray: Any, settings: RayParams, workers: int) -> None:
    """Say at once what Ray would wait for without end."""
    needs = {"CPU": (settings.cpus, "cpus"), "GPU": (settings.gpus, "gpus")}
    if settings.memory_gb is not None:
        needs["memory"] = (settings.memory_gb * 2**30, "memory_gb")
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for resource, (each, key) in needs.items():
        there = sum(machine.get(resource, 0.0) for machine in machines)
        scale, unit = (2**30, " GiB") if resource == "memory" else (1, "")
        wanted = f"params.yaml: search.ray.{key}: {workers} × {each / scale:g}{unit}"
        if each * workers > there + 1e-9:
            ray.shutdown()
            raise UserError(
                f"{wanted} must be there for search.workers, but the cluster has {there / scale:g}{unit}; "
                "lower it, or search.workers"
            )
    places = sum(
        min(math.floor(machine.get(resource, 0.0) / each + 1e-9) for resource, (each, _) in needs.items() if each)
        for machine in machines
    )
    if places < workers:
        ray.shutdown()
        asked = ", ".join(f"{key} {getattr(settings, key):g}" for each, key in needs.values() if each)
        raise UserError(
            f"params.yaml: search.ray: search.workers is {workers}, and each must find room on one machine of the "
            f"cluster ({asked}), which has room for {places}; lower these, or search.workers"
        )


def first_sentence(error: BaseException) -> str:
    """The first line of an error's message, or its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
