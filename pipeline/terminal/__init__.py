"""What commands show in the terminal, and how they start and end."""
