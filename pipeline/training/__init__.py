"""The training loop, and the state from which a training resumes."""
