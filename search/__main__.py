"""Run the stage search with `python -m search`."""

from functools import partial

from pipeline.terminal.console import run_main
from search.commands import search

if __name__ == "__main__":
    run_main(partial(search, "python -m search"))
