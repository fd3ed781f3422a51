"""When the memory of a worker has grown so much that it should be replaced."""

# A worker is replaced when its memory has grown by more than this factor since its first jobs.
MAX_GROWTH, FIRST_JOBS = 1.1, 5


def has_grown(first: list[int], memory: int) -> bool:
    """Whether a worker should be replaced.

    Args:
        first: Resident memory after each of its first jobs, in bytes. The current one is added, until there are enough.
        memory: Resident memory after the current job, in bytes.
    """
    if len(first) < FIRST_JOBS:
        first.append(memory)
        return False
    return memory > MAX_GROWTH * max(first)
