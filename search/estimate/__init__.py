"""What a study would choose from and cost, before it starts."""
