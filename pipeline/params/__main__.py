"""Check params.yaml, or print its JSON Schema: `python -m pipeline.params`."""

from pipeline.params_command import main
from pipeline.terminal import run_main

if __name__ == "__main__":
    run_main(main)
