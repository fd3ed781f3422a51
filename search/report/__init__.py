"""What a study leaves for its reader."""
