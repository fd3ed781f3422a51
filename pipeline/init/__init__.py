"""From data to a params.yaml of their own: a look at the images, rules that decide, a file that says why."""
