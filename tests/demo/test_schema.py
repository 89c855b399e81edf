"""JSON that holds to a schema."""

import json
from enum import Enum
from typing import Annotated, Literal

import pytest
from demo.asking import ask, chat, post
from pydantic import BaseModel, Field

from ollama_bridge.demo import models, schema


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    city: str = Field(min_length=2, max_length=12)
    zip: int = Field(gt=9999, lt=100000)


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []
    parent: "Tree | None"


class Person(BaseModel):
    """One of everything."""

    name: str
    colour: Colour
    kind: Literal["a"]
    age: int | None
    tall: bool
    address: Address
    others: list[Address] = Field(min_length=2, max_length=3)
    scores: tuple[int, str]
    share: float = Field(gt=0, lt=1)
    even: int = Field(ge=3, multiple_of=4)
    odd: Annotated[float, Field(le=-2.5)]
    tags: set[Colour] = Field(min_length=2)
    numbers: set[int] = Field(min_length=3)
    nothing: None
    either: Address | str
    table: dict[str, int]
    trees: list[Tree] = Field(min_length=1)
    spare: str = "unset"


@pytest.mark.parametrize(
    "question", ["", "hello", "Ask Ann Lee from Rome, 20 or 12345, 0.25, 8", "x" * 5000]
)
@pytest.mark.parametrize("model", [Person, Address, Tree])
async def test_structured_answers_hold_to_the_schema(client, model, question):
    wanted = {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": model.model_json_schema()},
    }
    text = (await chat(client, ask(question, response_format=wanted)))["choices"][0]["message"][
        "content"
    ]
    model.model_validate_json(text, strict=True)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ({"type": "string"}, "Ann Lee"),
        ({"type": ["null", "string"]}, "Ann Lee"),
        ({"type": "string", "maxLength": 3}, "Ann"),
        ({"type": "string", "minLength": 9}, "Ann Lee.."),
        ({"type": "string", "format": "date"}, "2025-01-31"),
        ({"type": "integer"}, 20),
        ({"type": "integer", "maximum": 10}, 8),
        ({"type": "integer", "exclusiveMaximum": 8}, 1),
        ({"type": "number"}, 20),
        ({"type": "number", "maximum": 1}, 0.25),
        ({"type": "integer", "minimum": 100, "maximum": 110, "multipleOf": 7}, 105),
        ({"type": "integer", "minimum": 0.5, "maximum": 1.5}, 1),
        ({"type": "integer", "exclusiveMinimum": 41, "maximum": 42}, 42),
        ({"minimum": 30}, 30),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"const": [1]}, [1]),
        ({"enum": ["x", "Lee"]}, "Lee"),
        ({"enum": [4, 5]}, 4),
        ({"type": "string", "default": "d"}, "d"),
        ({"type": "array", "items": {"type": "integer"}}, [20]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [20, 0.25 * 32, 1]),
        ({"type": "array", "maxItems": 0}, []),
        (
            {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
            [1, 2, 3],
        ),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}]}, [20, None]),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"]}, {"b": "Ann Lee"}),
        ({"properties": {"a": {"type": "null"}}}, {"a": None}),
        ({"properties": {"a": True}}, {"a": "Ann Lee"}),
        ({"required": ["z"]}, {"z": "Ann Lee"}),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 20),
        ({"oneOf": [{"type": "boolean"}, {"type": "integer"}]}, True),
        (
            {
                "allOf": [
                    {"properties": {"a": {"const": 1}}, "required": ["a"]},
                    {"$ref": "#/definitions/b~1c"},
                ],
                "definitions": {"b/c": {"properties": {"b": {"const": 2}}, "required": ["b"]}},
            },
            {"a": 1, "b": 2},
        ),
        ({"$ref": "#/nowhere"}, "Ann Lee"),
        ({"$ref": "#"}, "Ann Lee"),
    ],
)
def test_fill(form, value):
    assert schema.fill(form, "Ask Ann Lee if 20, 0.25 or 8") == value


@pytest.mark.parametrize("question", ["9" * 400, f"-{'9' * 400}", "1" + "0" * 15])
def test_numbers_beyond_reason_are_passed_over(question):
    assert schema.fill({"type": "integer"}, question) == 1
    assert schema.fill({"type": "number"}, question) == 1


def test_a_name_required_twice_is_filled_once():
    twice = {"required": ["a"], "properties": {"b": {}}}
    form = {"allOf": [twice, twice], "required": ["a", "b"]}
    assert schema.fill(form, "for Ann and Bob") == {"a": "Ann", "b": "Bob"}


async def test_json_without_a_schema(client):
    text = (await chat(client, ask("Hi", response_format={"type": "json_object"})))["choices"][0][
        "message"
    ]
    assert json.loads(text["content"]) == {"note": models.LABEL, "you_said": "Hi"}
    beside = {"type": "json_object", "schema": {"properties": {"n": {"const": 4}}}}
    text = (await chat(client, ask("Hi", response_format=beside)))["choices"][0]["message"]
    assert json.loads(text["content"]) == {"n": 4}
    text = (await chat(client, ask("Hi", response_format={"type": "text"})))["choices"][0][
        "message"
    ]
    assert text["content"].startswith("This is")


@pytest.mark.parametrize(
    "form",
    [
        {
            "$ref": "#/$defs/A",
            "$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]}},
        },
        {
            "$ref": "#/$defs/A",
            "$defs": {
                "A": {
                    "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/A"}},
                    "required": ["a", "b"],
                }
            },
        },
        {"type": "array", "items": {"type": "array", "minItems": 999}, "minItems": 999},
        {"type": "array", "minItems": 10**12},
    ],
)
async def test_schemas_without_end_are_refused(client, form):
    wanted = {"type": "json_schema", "json_schema": {"schema": form}}
    reply = await post(client, ask(response_format=wanted))
    assert reply.status_code == 400
    assert "has no end" in reply.json()["error"]["message"]


async def test_a_schema_that_is_nothing_but_itself_is_refused(client):
    form = {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}
    wanted = {"type": "json_schema", "json_schema": {"schema": form}}
    assert (await post(client, ask(response_format=wanted))).status_code == 400
