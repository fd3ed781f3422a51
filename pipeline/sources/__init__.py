"""Where images come from, and what is checked before they are split."""
