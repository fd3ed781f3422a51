"""Addresses of databases and servers, without their credentials."""

import pytest

from pipeline.params.addresses import has_password, hide_password, hide_password_in, without_credentials


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite:///studies/optuna.db", "sqlite:///studies/optuna.db"),
        ("postgresql+psycopg://host:5432/db", "postgresql+psycopg://host:5432/db"),
        ("postgresql+psycopg://me:sesame@host:5432/db", "postgresql+psycopg://***@host:5432/db"),
        ("postgresql+psycopg://me:ses@me@host/db", "postgresql+psycopg://***@host/db"),
        ("postgresql+psycopg://me:ses/ame@host/db", "postgresql+psycopg://***@host/db"),
        ("postgresql+psycopg://host/db?user=me&password=sesame", "postgresql+psycopg://host/db?***"),
        ("postgresql:/me:sesame@host/db", "postgresql:/***@host/db"),
        ("postgresql://me:sesame/db", "postgresql://me:***/db"),  # the host is missing
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_credentials_and_options_of_an_address_are_not_shown(address: str, shown: str) -> None:
    assert hide_password(address) == shown


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql+psycopg://me:sesame@host/db", True),
        ("postgresql+psycopg://host/db?PASSWORD=sesame", True),
        ("postgresql+psycopg://me@host/db", False),
        ("postgresql+psycopg://host:5432/db", False),
        ("sqlite:////data/a:b@c/optuna.db", False),
    ],
)
def test_an_address_with_a_password_is_recognized(address: str, expected: bool) -> None:
    assert has_password(address) is expected


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgresql+psycopg://me:open%20sesame@host/db", "'open sesame', open%20sesame and open+sesame are wrong"),
        (
            "postgresql+psycopg://host/db?user=me&password=open+sesame",
            "'open sesame', open%20sesame and open+sesame are wrong",
        ),
    ],
)
def test_an_error_message_shows_neither_the_address_nor_its_password(address: str, message: str) -> None:
    hidden = hide_password_in(f"cannot connect to {address}: {message}", address)
    assert "sesame" not in hidden
    assert hidden.startswith(f"cannot connect to {hide_password(address)}: ")


def test_the_rest_of_an_error_message_is_unchanged() -> None:
    text = "cannot connect to host: timeout"
    for address in ("postgresql+psycopg://me:sesame@host/db", "sqlite:///optuna.db", "http://[broken"):
        assert hide_password_in(text, address) == text


@pytest.mark.parametrize(
    ("address", "rest"),
    [
        ("https://me:sesame@host:5000/path?a=1", "https://host:5000/path?a=1"),
        ("https://host:5000/path", "https://host:5000/path"),
    ],
)
def test_the_address_of_a_server_is_usable_without_credentials(address: str, rest: str) -> None:
    assert without_credentials(address) == rest
