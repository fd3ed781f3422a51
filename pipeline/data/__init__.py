"""Images: where they come from, what is checked, how they are split, how a prepared split is read back."""
