"""What the process imports from which the workers of `engine: processes` are forked."""

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the engine stops this one and its forks

from pipeline.backend.runtime import start_backend  # noqa: E402

start_backend()

import pipeline.trainers.cache  # noqa: E402
import pipeline.trainers.steps_tensorflow  # noqa: E402
import pipeline.training.fit  # noqa: E402, F401
import search.engine.process_engine  # noqa: E402, F401
