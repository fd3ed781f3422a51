"""The arguments of commands, what they show in the terminal, and how they start and end."""
