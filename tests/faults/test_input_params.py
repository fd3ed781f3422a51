"""params.yaml that is damaged at random, and numbers without sense."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import Infeasible, compute_geometry
from pipeline.errors import UserError
from pipeline.params.space import RULES
from pipeline.params_file import ParamsError, validate
from pipeline.sections import Params
from pipeline.sections.load import load_params
from search.estimate.precheck import check_something_fits, size_in_words
from search.space.draw import check_space
from search.study.rungs import make_rungs

ROOT = Path(__file__).resolve().parents[2]
FILES = [ROOT / "params.yaml", *sorted((ROOT / "examples").glob("*.yaml"))]
WHOLE = {path.stem: YAML(typ="safe", pure=True).load(path) for path in FILES}
GRIDS = {"gunpoint": (150, 1), "spoken_digits": (40, 98, 1), "solids": (16, 16, 16, 1)}


class Raw(str):
    """Text that is written into the file as it is."""


RAW = [
    "1e400", "-1e400", ".inf", "-.inf", ".nan", "1e-320", "9" * 30, "9" * 5000, f"0x{'f' * 5000}", "0o17", "1_000",
    "1:30", "2026-11-21", "2026-11-21T10:00:00Z", "2026-99-99", "yes", "010", "~", "!!binary aGVsbG8=", "!!set {a, b}",
    "!!omap [a: 1]", "!!python/object/apply:os.system [true]", "!unknown 1", "!!int x", "!!float [1]", "!!str 1",
    "*nowhere", "&x [*x]", "&x {a: *x}", "&a [x]", "[&a [1], *a, *a]", "{<<: {a: 1}, b: 2}", "{<<: 1}", "{a: 1, a: 2}",
    "{? [1, 2] : 3}", "{1: 2, null: 3, 1.5: 4, true: 5}", "[" * 60 + "]" * 60, "[" * 3000, "{a: " * 80 + "1" + "}" * 80,
    '"\\0"', '"\\ud800"', '"\\u202e\\u2028"', '"\\e[31m"', "'", '"', "%", "@", "`", "- -", "? x", "|", ">-", "#", "\t1",
    f"[{'1, ' * 100_000}]", f"[{'x, ' * 1200}]", "x" * 60_000, '"' + "é" * 9000 + '"',
]  # fmt: skip
NUMBERS = [
    0,
    1,
    -1,
    2,
    100,
    10_000,
    2**31,
    2**53,
    2**63,
    2**64,
    10**77,
    -(10**77),
    0.0,
    -0.0,
    0.5,
    1.0,
    1e-9,
    1e9,
    1e308,
]
SCALARS = st.one_of(
    st.sampled_from(NUMBERS), st.booleans(), st.none(), st.integers(), st.floats(), st.text(max_size=30)
)
VALUES = st.one_of(
    st.sampled_from(RAW).map(Raw),
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    ),
)


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys of all values within a value."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*at, key)
        yield from places(value, (*at, key))


PLACES = {stem: list(places(content)) for stem, content in WHOLE.items()}


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, str]:
    """The name of a file, and its text after one to three changes. Numbers are mostly replaced by numbers."""
    stem = draw(st.sampled_from(sorted(WHOLE)))
    content = deepcopy(WHOLE[stem])
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        place = draw(st.sampled_from(PLACES[stem]))
        parent, key = at(content, place[:-1]), place[-1]
        if not isinstance(parent, dict | list) or isinstance(parent, list) is not isinstance(key, int):
            continue
        action = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename", "add", "repeat", "move"]))
        if action == "replace" or isinstance(parent, list) or key not in parent:
            if isinstance(parent, dict) or key < len(parent):
                number = type(at(parent, (key,))) in (int, float)
                parent[key] = draw(st.sampled_from(NUMBERS) | st.integers(1, 300) | VALUES if number else VALUES)
        elif action == "remove":
            del parent[key]
        elif action == "rename":
            parent[draw(st.sampled_from([f"{key}s", key[:-1], key.upper(), " "]) | st.text(max_size=20))] = parent.pop(
                key
            )
        elif action == "add":
            parent[draw(st.text(max_size=20))] = draw(VALUES)
        elif action == "repeat":
            parent[key] = [parent[key]] * draw(st.sampled_from([0, 1, 2, 3, 1001]))
        else:
            parent[key] = deepcopy(at(WHOLE[stem], draw(st.sampled_from(PLACES[stem]))))
    return stem, "\n".join(lines(content)) + "\n" if isinstance(content, dict) else str(content)


def at(content: Any, place: tuple[Any, ...]) -> Any:
    """The value at a place; None if earlier changes removed it."""
    for key in place:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def lines(node: dict[Any, Any], indent: str = "") -> Iterator[str]:
    """Lines of YAML in block style; everything below the second level is in flow style."""
    for key, value in node.items():
        if isinstance(value, dict) and value and len(indent) < 2:
            yield f"{indent}{json.dumps(key)}:"
            yield from lines(value, f"{indent}  ")
        else:
            yield f"{indent}{json.dumps(key)}: {flow(value)}"


def flow(node: Any) -> str:
    if isinstance(node, Raw):
        return str(node)
    if isinstance(node, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {flow(value)}" for key, value in node.items()) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(map(flow, node)) + "]"
    return str(node) if isinstance(node, float) else json.dumps(node)


def use(params: Params, shape: tuple[int, ...]) -> None:
    """What `fovea plan` and the stages derive from valid params without data.

    Raises:
        UserError: The parts do not fit each other.
    """
    assert make_rungs(params.search)[-1].epoch >= 1
    check_space(params.search.space, params.model, params.training)
    architecture = Architecture.from_model(params.model, shape, 10)
    assert size_in_words(params.search.space, params.model)
    check_something_fits(params.search.space, params.model, params.search.budget, shape, 10)
    if params.model.backbone is None:
        try:
            assert compute_geometry(architecture).params > 0
        except Infeasible as error:
            raise UserError(str(error)) from None


def check(path: Path, stem: str, text: str) -> None:
    """Load and use a damaged file; any error is a short message."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    started = time.thread_time()
    try:
        params = load_params(path)
    except ParamsError as error:
        message = str(error).splitlines()
        assert 1 <= len(message) <= 21
        assert all(line.startswith(f"{path}: ") and len(line) <= 1100 for line in message)
        params = None
    assert time.thread_time() - started < 1.0
    if params is not None:
        with suppress(UserError):
            use(params, GRIDS.get(stem, (28, 28, 1)))


def fuzz(path: Path, examples: int, number: int = 0) -> None:
    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged())
    def mutate(case: tuple[str, str]) -> None:
        check(path, *case)

    mutate()


@pytest.mark.slow
def test_damaged_params_are_valid_or_end_in_one_message(tmp_path: Path) -> None:
    """Damaged params.yaml is either valid and usable, or ends in one message within a second.

    100 seeded mutations of params.yaml and of the examples: values, keys, aliases, tags, huge numbers, deep nesting.
    """
    fuzz(tmp_path / "params.yaml", 100)


@pytest.mark.long
def test_ten_thousand_damaged_params_are_valid_or_end_in_one_message(tmp_path: Path) -> None:
    """The same holds for 10,000 mutations.

    10,000 seeded mutations of params.yaml and of the examples.
    """
    for number in range(20):  # Hypothesis keeps all it has drawn: gigabytes for 10,000
        fuzz(tmp_path / "params.yaml", 500, number)


# Values that are bounded by the rule of their key: RULES and the key in `model` or `training`.
BOUNDED_BY_RULES = re.compile(r"^\$defs\.SpaceParams\.|^\$defs\.(Range|Choices)\.")


def unbounded(node: Any, at: str = "") -> Iterator[str]:
    """Places of a JSON schema whose numbers lack a bound, or whose lists may have any length."""
    if isinstance(node, dict):
        if node.get("type") in ("integer", "number"):
            lower, upper = ({end, f"exclusive{end.title()}"} for end in ("minimum", "maximum"))
            if not (lower & node.keys() and upper & node.keys()):
                yield at
        if node.get("type") == "array" and "maxItems" not in node:
            yield at
        for key, value in node.items():
            yield from unbounded(value, f"{at}.{key}" if at else key)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from unbounded(value, f"{at}.{number}")


def test_every_number_and_list_of_params_has_a_bound() -> None:
    """Each number in params.yaml has a lower and an upper bound, and each list a maximum length.

    The test walks the JSON Schema of all sections, and the rules of all keys of the search space.
    """
    found = [at for at in unbounded(Params.model_json_schema()) if not BOUNDED_BY_RULES.match(at)]
    assert found == []
    assert [key for key, rule in RULES.items() if list(unbounded(TypeAdapter(rule).json_schema()))] == []


def test_a_bomb_of_aliases_ends_in_a_message(tmp_path: Path) -> None:
    """A few lines of YAML cannot expand to more than memory holds.

    Anchors that contain ten aliases of the anchor before, twenty levels deep.
    """
    path = tmp_path / "params.yaml"
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 21)]
    path.write_text("\n".join(["a0: &a0 [x]", *levels]))
    with pytest.raises(ParamsError, match="must not contain more than 500,000 values"):
        load_params(path)


def test_tags_pipes_and_loops_end_in_a_message(tmp_path: Path) -> None:
    """Tags, pipes and links to themselves in place of params.yaml end in one message at once.

    Writes empty and foreign values with the tags of YAML, and puts a named pipe and a link in place of the file.
    """
    path = tmp_path / "params.yaml"
    for value in ('!!int ""', "!!int '_'", '!!float ""', "!!bool x", "!!binary é", "!x 1", "!!omap [a: 1]"):
        path.write_text(f"seed: {value}\n")
        with pytest.raises(ParamsError, match=r"params\.yaml: line 1: must not contain tags"):
            load_params(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ParamsError, match=r"params\.yaml: must be a YAML file, got a pipe or a device"):
        load_params(path)
    path.unlink()
    path.symlink_to(path.name)
    with pytest.raises(ParamsError, match=r"params\.yaml: cannot be opened: .*Too many levels of symbolic links"):
        load_params(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  - filters: 16", f"  - filters: {10**77}", "filters"),
        ("  concurrency: 4 ", f"  concurrency: {2**64}", "search.concurrency: input should be less than or equal to"),
        ("{low: 1, high: 3}", "{low: 1, high: 100000}", "search.space.blocks"),
        ("{low: 0.0, high: 0.4, step: 0.1}", "{low: 0.0, high: 0.4, step: 1.0e-300}", "at most 1,000,000 steps"),
    ],
)
def test_absurd_values_of_the_right_type_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Numbers of the right type that no machine can hold are refused.

    Filters of 10^77, a concurrency of 2^64, 100,000 blocks, and steps of 1e-300.
    """
    text = (ROOT / "params.yaml").read_text()
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ParamsError, match=re.escape(message)):
        load_params(path)


def test_the_widest_candidate_is_bounded(tmp_path: Path) -> None:
    """Growth cannot give candidates more filters than a layer may have.

    Filters that grow by a factor of 100 from each of up to ten blocks to the next.
    """
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    path.write_text(
        text.replace("{low: 1, high: 3}", "{low: 1, high: 10}", 1).replace(
            "    - 1\n    - 2\n    convs", "    - 100\n    convs"
        )
    )
    with pytest.raises(ParamsError, match=r"search.space: filters, filter_growth and blocks must lead to at most"):
        load_params(path)


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("xo", {"images": 1_000_000, "size": 1024}, "must lead to at most 4 GiB of pixels, got 977 GiB"),
        ("audio", {"seconds": 3600.0, "hop_ms": 0.1}, "must lead to at most 67,108,864 values per piece, got 1.44e+09"),
    ],
)
def test_values_that_together_exhaust_the_memory_are_refused(
    section: str, changes: dict[str, Any], message: str
) -> None:
    """Values that are valid one by one are refused if together they need more than memory holds.

    A million generated images of 1024x1024, and spectrograms of an hour with ten thousand windows per second.
    """
    whole = getattr(load_params(ROOT / "params.yaml").data, section)
    with pytest.raises(ParamsError, match=re.escape(message)):
        validate(type(whole), whole.model_dump(mode="json") | changes, "here")
