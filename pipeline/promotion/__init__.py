"""Whether a network becomes champion."""
