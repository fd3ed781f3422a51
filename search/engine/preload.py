"""What the process imports from which the workers of `engine: processes` are forked."""

import psutil  # noqa: F401

import search.study.job  # noqa: F401
from pipeline.backend.runtime import start_backend

start_backend()
import pipeline.trainers.cache  # noqa: E402
import pipeline.trainers.steps_tensorflow  # noqa: E402
import pipeline.training.fit  # noqa: E402, F401
