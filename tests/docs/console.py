"""Runs the console blocks of a Markdown page as a reader would, in one shell session, and compares the output.

In a block marked `console`, a line that begins with `$ ` is a command, and the lines after it are its output. In the
output, `…` matches any text, and alone on a line any number of lines; a number matches any number, and white space any
white space, since numbers depend on the processor, and the widths of columns on the numbers.
"""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
COMMAND_SECONDS = 1200
START_SECONDS, STOP_SECONDS = 180, 60  # of a server
READY = "Ctrl-C"  # in the line that a server prints once it is ready


@dataclass(frozen=True)
class Step:
    """A command with the output that the page shows; an empty output is not compared."""

    page: str
    command: str
    output: str


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The language and the content of each fenced block."""
    for indent, language, content in FENCE.findall(text):
        yield language, "\n".join(line.removeprefix(indent) for line in content.splitlines())


def steps(path: Path) -> list[Step]:
    """The commands of a page's console blocks, in order."""
    found = []
    for language, content in blocks(path.read_text(encoding="utf-8")):
        if language != "console":
            continue
        before, *parts = re.split(r"^\$ ", content, flags=re.MULTILINE)
        assert not before.strip(), f"{path.name}: a console block must begin with '$ ', got {before!r}"
        for part in parts:
            command, _, output = part.replace("\\\n", "").partition("\n")
            found.append(Step(path.name, re.sub(r"\s+#.*$", "", command), output.strip("\n")))
    return found


def pattern(output: str) -> re.Pattern[str]:
    """The pattern that a command's output must match to agree with the page."""
    lines = []
    for line in output.splitlines():
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*?")
            continue
        words = [_word(word) for word in line.split()]
        lines.append(r"[^\S\n]*" + r"[^\S\n]+".join(words) + r"[^\S\n]*\n")
    return re.compile("".join(lines))


def _word(word: str) -> str:
    places, parts = 0, []
    for match in re.finditer(f"…|{NUMBER.pattern}", word):
        parts += [re.escape(word[places : match.start()]), ".*" if match[0] == "…" else NUMBER.pattern]
        places = match.end()
    return "".join([*parts, re.escape(word[places:])])


class Session:
    """A shell session whose working folder and variables persist between commands.

    Args:
        folder: The initial working folder.
        environment: The initial environment variables.
        servers: The first words of commands that start servers, which run until `close`.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], servers: tuple[str, ...]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._servers = servers
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def folder(self) -> Path:
        """The working folder of the next command."""
        return self._folder

    def run(self, step: Step) -> None:
        """Run a step; fail if its output differs from the page, or if it fails where the page shows no error."""
        printed = self._serve(step) if step.command.startswith(self._servers) else self._finish(step)
        if step.output:
            assert pattern(step.output).fullmatch(printed), (
                f"{step.page}: `{step.command}` must print\n{step.output}\n\nbut printed\n{printed}"
            )

    def close(self) -> None:
        """Stop the servers as with Ctrl-C."""
        running = [process for process in self._running if process.poll() is None]
        self._running.clear()
        for process in running:
            os.killpg(process.pid, signal.SIGINT)
        for process in running:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _finish(self, step: Step) -> str:
        with tempfile.TemporaryDirectory() as temporary:
            after = Path(temporary, "after")
            script = f'{step.command}\nstatus=$?\n{{ pwd -P; env -0; }} > "{after}"\nexit $status'
            done = subprocess.run(
                ["bash", "-c", script], cwd=self._folder, env=self._environment, text=True, errors="replace",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=COMMAND_SECONDS, check=False,
            )  # fmt: skip
            failed = step.output.startswith("error:")
            assert (done.returncode != 0) is failed, (
                f"{step.page}: `{step.command}` exited with status {done.returncode}\n{done.stdout}"
            )
            folder, _, variables = after.read_text().partition("\n")
        self._folder = Path(folder)
        self._environment = dict(each.split("=", 1) for each in variables.split("\0") if "=" in each)
        return done.stdout if done.stdout.endswith("\n") else done.stdout + "\n"

    def _serve(self, step: Step) -> str:
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {step.command}"], cwd=self._folder, env=self._environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            self._running.append(process)
            end = time.monotonic() + START_SECONDS
            printed = ""
            while READY not in printed and process.poll() is None and time.monotonic() < end:
                time.sleep(0.2)
                log.seek(0)
                printed = log.read().decode(errors="replace")
        assert process.poll() is None, f"{step.page}: `{step.command}` ended\n{printed}"
        assert READY in printed, f"{step.page}: `{step.command}` is not ready after {START_SECONDS} seconds\n{printed}"
        return printed
