"""Generate params.yaml for a dataset: inspect the images, apply rules, and write the reasons as comments."""
