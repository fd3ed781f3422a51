"""The time to train a network, estimated from its multiply-accumulates."""

# A training step has a forward pass and a backward pass, which costs twice as much. Source: Kaplan et al. (2020),
# "Scaling Laws for Neural Language Models", section 2.1.
PASSES = 3
SECONDS_PER_IMAGE = 3e-5  # regardless of the network, on roughly two cores


def estimated_seconds(macs: float, macs_per_second: float) -> float:
    """Return the approximate seconds per training image and epoch.

    Args:
        macs: Multiply-accumulates of the network per image.
        macs_per_second: Multiply-accumulates of the machine per second.
    """
    return PASSES * macs / macs_per_second + SECONDS_PER_IMAGE
