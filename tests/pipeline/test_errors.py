"""Messages of libraries, without the details for their developers."""

import pytest
from pydantic import BaseModel, ValidationError
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import message_of, plural, shown_first


def test_the_message_of_a_database_has_no_statement_parameters_or_links() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(SQLAlchemyError) as caught:
        connection.execute(text("SELECT secret FROM missing WHERE name = :name"), {"name": "sesame"})
    engine.dispose()
    assert "sesame" in str(caught.value)
    assert message_of(caught.value) == "(sqlite3.OperationalError) no such table: missing"


def test_the_message_of_a_validation_has_no_links() -> None:
    class Model(BaseModel):
        epochs: int

    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"epochs": "many"})
    message = message_of(caught.value)
    assert message.startswith("1 validation error for Model epochs Input should be a valid integer")
    assert "https" in str(caught.value)
    assert "https" not in message


def test_lines_of_a_trace_and_names_of_operations_are_omitted() -> None:
    trace = 'Graph execution error:\n\nDetected at node mean\n  File "train.py", line 3, in fit\nOOM when allocating'
    end = "\n\t [[{{node mean}}]]\nHint: If you want to see a list of allocated tensors, ask.\n [Op:__inference_f_9]"
    assert message_of(RuntimeError(trace + end)) == "OOM when allocating"
    eager = "{{function_node __wrapped__Fill_device_/job:localhost/device:CPU:0}} OOM when allocating [Op:Fill] name: "
    assert message_of(RuntimeError(eager)) == "OOM when allocating"


@pytest.mark.parametrize("message", ["", "  \n ", "Traceback (most recent call last):"])
def test_an_error_without_a_message_is_described_by_its_class(message: str) -> None:
    assert message_of(MemoryError(message)) == "MemoryError"


def test_a_message_is_on_one_line_and_not_too_long() -> None:
    assert message_of(ValueError("a  b\n\n\tc ")) == "a b c"
    assert message_of(ValueError("x" * 1000)) == "x" * 1000
    assert message_of(ValueError("x" * 1001)) == "x" * 1000 + "…"


def test_the_first_ten_items_are_shown_with_the_number_of_the_others() -> None:
    items = [str(number) for number in range(12)]
    assert shown_first([]) == ""
    assert shown_first(items[:10]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert shown_first(items[:11]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 (and 1 more)"
    assert shown_first(items, separator="; ") == "0; 1; 2; 3; 4; 5; 6; 7; 8; 9 (and 2 more)"


def test_a_noun_is_in_the_singular_only_for_a_count_of_one() -> None:
    assert [plural(count, "image") for count in (0, 1, 2)] == ["images", "image", "images"]
