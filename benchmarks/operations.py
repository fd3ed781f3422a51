"""Where the time of a training step goes: the operations of Keras's `fit` and of Fovea, from TensorFlow's profiler.

The reference network of training_speed.py, batches of 128, two threads. Each competitor trains in a process of its own;
the processes alternate. `all` is the median duration of a step without the profiler, over three epochs. TensorFlow runs
one operation at a time here, on all threads; what their durations lack to `all` is spent between them, in Keras mostly
in Python. On a processor with AVX2 only, or with ONEDNN_MAX_CPU_ISA=AVX2, the name of the table ends in `_avx2`.
"""

import argparse
import json
import os
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

import numpy as np
from results import publish
from table import machine, run_script, spread
from training_speed import BATCH, FLOAT32, FOVEA, KERAS, REFERENCE, make_epoch

from pipeline.backend.precision import processor_flags
from pipeline.machine.instructions import onednn
from pipeline.terminal.console import run_main

ROWS = (
    "first convolution (1 channel)", "first convolution, gradient of the kernel", "other convolutions",
    "other convolutions, gradients of the kernels", "other convolutions, gradients of their inputs",
    "batch normalization", "batch normalization, gradient", "ReLU", "ReLU, gradient", "max pooling",
    "max pooling, gradient", "all other operations", "all",
)  # fmt: skip
STEPS = 40


def row_of(name: str) -> str:
    """The row of an operation, whose name contains the path in the graph and the kind of the operation."""
    path, _, kind = name.rpartition(":")
    gradient = ", gradient" if "grad" in path else ""
    if "Conv2D" in kind:
        first = re.search(r"block1_conv1|/Conv2D(_grad/|$)", path) is not None
        if not gradient:
            return ROWS[0] if first else ROWS[2]
        if first:
            return ROWS[1]
        return ROWS[3] if "Filter" in kind else ROWS[4]
    for row, part in (("max pooling", "Pool"), ("ReLU", "Relu")):
        if part in kind:
            return row + gradient
    if "FusedBatchNorm" in kind or "_norm1" in path:
        return "batch normalization" + gradient
    return "all other operations"


def durations(name: str) -> dict[str, float]:
    """Milliseconds per training step, by row."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    draw = np.random.default_rng(1)
    images = draw.integers(0, 256, (BATCH * STEPS, *REFERENCE.input_shape), np.uint8)
    epoch = make_epoch(name, REFERENCE, images, draw.integers(0, 10, BATCH * STEPS), threads=2)
    epoch()
    plain = []
    for _ in range(3):
        began = time.perf_counter()
        epoch()
        plain.append(1000 * (time.perf_counter() - began))
    found = Counter({"all": median(plain)})
    with tempfile.TemporaryDirectory() as folder:
        options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=2, python_tracer_level=0)
        tf.profiler.experimental.start(folder, options=options)
        epoch()
        tf.profiler.experimental.stop()
        (trace,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(trace.read_bytes())
    for plane in space.planes:
        for line in plane.lines:
            if line.name.startswith("tf_Compute"):
                for event in line.events:
                    operation = plane.event_metadata[event.metadata_id].name
                    if "::" not in operation:
                        found[row_of(operation)] += event.duration_ps / 1e9
    return {row: value / STEPS for row, value in found.items()}


def main() -> None:
    """Print and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        print("\n" + json.dumps(durations(given.run)))
        return
    print(machine())
    names = (KERAS, FLOAT32, FOVEA)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for repeat in range(given.repeats):
        for name in names if repeat % 2 == 0 else names[::-1]:
            found[name].append(run_script(__file__, "--run", name))
    rows = [[row, *(spread([each.get(row, 0.0) for each in found[name]]) for name in names)] for row in ROWS]
    suffix = "_avx2" if onednn(processor_flags(), os.environ) == "AVX2" else ""
    publish(f"operations{suffix}", ["milliseconds per step", *names], rows)


if __name__ == "__main__":
    run_main(main)
