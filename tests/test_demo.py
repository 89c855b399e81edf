"""The demo upstream: what it answers, read through OpenAI's own client and through bare ASGI."""

import asyncio
import base64
import json
import math
import re
import struct
from enum import Enum
from itertools import pairwise
from typing import Annotated, Literal

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from pydantic import BaseModel, Field

from ollama_bridge import demo

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256))).decode()
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
                "unit": {"enum": ["celsius", "fahrenheit"]},
                "note": {"type": "string"},
            },
            "required": ["city", "days", "unit"],
        },
    },
}
PLAY = {"type": "function", "function": {"name": "playMusic", "description": None}}
QUESTION = "What is the weather in New York for 3 days, in Fahrenheit?"


@pytest.fixture
async def client():
    """OpenAI's client, straight into the application."""
    transport = httpx.ASGITransport(app=demo.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://demo") as http:
        yield http


def ask(text=QUESTION, **more):
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}


async def post(client, body, path="/v1/chat/completions"):
    return await client.post(path, json=body)


async def chat(client, body):
    reply = await post(client, body)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def events(client, body, path="/v1/chat/completions"):
    """The stream's events, its frame checked on the way."""
    reply = await post(client, {**body, "stream": True}, path)
    assert reply.headers["content-type"] == "text/event-stream"
    *parts, done, rest = reply.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def joined(chunks, key):
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get(key) or "" for delta in deltas)


async def test_models(client):
    listed = (await client.get("/v1/models")).json()
    assert listed["object"] == "list"
    chatting, embedding = listed["data"]
    assert chatting["id"] == "demo"
    assert {"tools", "reasoning", "structured_outputs"} <= set(chatting["supported_parameters"])
    assert {"completion", "vision", "insert"} <= set(chatting["capabilities"])
    assert embedding["id"] == "demo-embed"
    assert embedding["dimensions"] == 384
    assert all(model["context_length"] > 0 for model in listed["data"])
    assert (await client.get("/v1/models/demo")).json() == chatting
    assert (await client.get("/v1/models/nobody")).status_code == 404


async def test_answer_says_who_speaks_and_repeats_the_user(client):
    body = ask("Hello there")
    body["messages"].insert(0, {"role": "system", "content": "Be brief."})
    reply = await chat(client, body)
    (choice,) = reply["choices"]
    assert choice["finish_reason"] == "stop"
    assert "built-in demo model" in choice["message"]["content"]
    assert "`ollama-bridge providers add`" in choice["message"]["content"]
    assert "“Hello there”" in choice["message"]["content"]
    assert "“Be brief.”" in choice["message"]["content"]
    usage = reply["usage"]
    assert usage["prompt_tokens"] == 5 + 2  # the roles are words too
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"reasoning_effort": "low"},
        {"tools": [WEATHER]},
        {"tools": [WEATHER], "reasoning_effort": "high"},
        {"response_format": {"type": "json_object"}},
        {"max_tokens": 5},
        {"stop": "demo"},
    ],
)
async def test_stream_and_whole_say_the_same(client, more):
    whole = await chat(client, ask(**more))
    again = await chat(client, ask(**more))
    assert whole == again
    (choice,) = whole["choices"]
    chunks = await events(client, ask(**more, stream_options={"include_usage": True}))
    *chunks, usage = chunks
    assert usage["choices"] == []
    assert usage["usage"] == whole["usage"]
    assert joined(chunks, "content") == (choice["message"]["content"] or "")
    assert joined(chunks, "reasoning_content") == choice["message"].get("reasoning_content", "")
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None] * (len(chunks) - 1) + [
        choice["finish_reason"]
    ]
    assert {c["object"] for c in chunks} == {"chat.completion.chunk"}
    assert len({c["id"] for c in chunks}) == 1


async def test_stream_comes_word_by_word_and_without_usage_unless_asked(client):
    chunks = await events(client, ask("One two three"))
    words = [c["choices"][0]["delta"].get("content") for c in chunks]
    assert [word for word in words if word in (" two", " three")] == [" two", " three"]
    assert all("usage" not in chunk for chunk in chunks)


@pytest.mark.parametrize("effort", [None, "none", ""])
async def test_no_thoughts_unless_asked(client, effort):
    reply = await chat(client, ask(reasoning_effort=effort))
    assert "reasoning_content" not in reply["choices"][0]["message"]


async def test_thoughts_come_first_and_count(client):
    chunks = await events(client, ask("Hello", reasoning_effort="low"))
    kinds = [next(iter(c["choices"][0]["delta"]), None) for c in chunks]
    first_word = kinds.index("content")
    assert set(kinds[1:first_word]) == {"reasoning_content"}
    assert set(kinds[first_word:-1]) == {"content"}
    reply = await chat(client, ask("Hello", reasoning_effort="low"))
    assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] == first_word - 1


async def test_tool_call_takes_its_arguments_from_the_question(client):
    (choice,) = (await chat(client, ask(tools=[PLAY, WEATHER])))["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {
        "city": "New York",
        "days": 3,
        "unit": "fahrenheit",
    }


@pytest.mark.parametrize(
    ("question", "city"),
    [
        ("Weather in Paris?", "Paris"),
        ("Please look. Weather of Rome!", "Rome"),
        ("Paris weather", "Paris"),
        ("New York weather", "New York"),
        ("Is the weather in São Paulo or Oslo better?", "São Paulo"),
        ("Show me the weather in Łódź", "Łódź"),
        ("how is the weather here", "how is the weather here"),
    ],
)
async def test_names_in_the_question(client, question, city):
    (choice,) = (await chat(client, ask(question, tools=[WEATHER])))["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"])["city"] == city


async def test_tool_call_is_streamed_in_fragments(client):
    (call,) = (await chat(client, ask(tools=[WEATHER])))["choices"][0]["message"]["tool_calls"]
    chunks = await events(client, ask(tools=[WEATHER]))
    deltas = [c["choices"][0]["delta"] for c in chunks]
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
    assert len(pieces) > 5
    assert {piece["index"] for piece in pieces} == {0}
    assert pieces[0] == {
        "index": 0,
        "id": call["id"],
        "type": "function",
        "function": {"name": "get_weather", "arguments": ""},
    }
    assert all(piece.keys() == {"index", "function"} for piece in pieces[1:])
    arguments = "".join(piece["function"]["arguments"] for piece in pieces)
    assert arguments == call["function"]["arguments"]


@pytest.mark.parametrize(
    ("question", "tools", "choice", "called"),
    [
        ("Play something", [WEATHER, PLAY], None, "playMusic"),
        ("Music, please", [WEATHER, PLAY], "auto", "playMusic"),
        ("What is the weather like?", [WEATHER], "auto", "get_weather"),
        ("Which cities are big?", [WEATHER], None, None),
        ("Hello, who are you?", [WEATHER, PLAY], None, None),
        ("What is the weather like?", [WEATHER], "none", None),
        ("Hello", [WEATHER, PLAY], "required", "get_weather"),
        ("Play music", [WEATHER, PLAY], "required", "playMusic"),
        (
            "Play",
            [WEATHER, PLAY],
            {"type": "function", "function": {"name": "get_weather"}},
            "get_weather",
        ),
        ("Weather", [], "auto", None),
        ("Weather", [], "required", None),
    ],
)
async def test_which_tool(client, question, tools, choice, called):
    (answer,) = (await chat(client, ask(question, tools=tools, tool_choice=choice)))["choices"]
    calls = answer["message"].get("tool_calls", [])
    assert [call["function"]["name"] for call in calls] == ([called] if called else [])
    assert answer["finish_reason"] == ("tool_calls" if called else "stop")


async def test_tool_results_are_quoted_in_order(client):
    calls = [
        {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "playMusic", "arguments": "{}"}},
    ]
    body = ask(tools=[WEATHER, PLAY])
    body["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": "7 degrees"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "la la"}]},
    ]
    (choice,) = (await chat(client, body))["choices"]
    text = choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    assert text.startswith("The tool get_weather answered: “7 degrees”")
    assert "The tool playMusic answered: “la la”" in text
    assert "built-in demo model" in text


async def test_ids_of_calls_differ_from_turn_to_turn(client):
    body = ask(tools=[WEATHER])
    first = await chat(client, body)
    body["messages"] = [*body["messages"], {"role": "assistant", "content": ""}, *body["messages"]]
    second = await chat(client, body)
    ids = {reply["choices"][0]["message"]["tool_calls"][0]["id"] for reply in (first, second)}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            "image/png, 264 bytes",
        ),
        (
            {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"},
            "image/png, 264 bytes",
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
            "https://a.example/b.png",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            "audio/wav, 3 bytes",
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
            "application/pdf, 3 bytes",
        ),
    ],
)
async def test_files_are_acknowledged_by_type_and_size(client, part, words):
    content = [{"type": "text", "text": "Look"}, part]
    reply = await chat(client, ask(content))
    assert words in reply["choices"][0]["message"]["content"]
    assert "“Look”" in reply["choices"][0]["message"]["content"]
    assert reply["usage"]["prompt_tokens"] < 30  # a file is not counted as text


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("effort", ["none", "high"])
async def test_limit(client, name, effort):
    full = await chat(client, ask("Hello", reasoning_effort=effort))
    total = full["usage"]["completion_tokens"]
    for limit in (1, 3, total - 1):
        cut = await chat(client, ask("Hello", reasoning_effort=effort, **{name: limit}))
        assert cut["choices"][0]["finish_reason"] == "length"
        assert cut["usage"]["completion_tokens"] == limit
        assert spoken(full).startswith(spoken(cut))
    enough = await chat(client, ask("Hello", reasoning_effort=effort, **{name: total}))
    assert enough["choices"][0]["finish_reason"] == "stop"


def spoken(reply):
    message = reply["choices"][0]["message"]
    return message.get("reasoning_content", "") + message["content"]


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        ("Bridge", "This is Ollama "),
        (["nowhere", "built", "Ollama"], "This is "),
        ("This", ""),
        ("llama Br", "This is O"),
    ],
)
async def test_stop(client, stop, text):
    (choice,) = (await chat(client, ask("Hello", stop=stop)))["choices"]
    assert choice["message"]["content"] == text
    assert choice["finish_reason"] == "stop"


async def test_logprobs(client):
    (choice,) = (await chat(client, ask("Hi", logprobs=True, top_logprobs=3, max_tokens=4)))[
        "choices"
    ]
    content = choice["logprobs"]["content"]
    assert [item["token"] for item in content] == ["This", " is", " Ollama", " Bridge"]
    for item in content:
        assert bytes(item["bytes"]).decode() == item["token"]
        assert item["logprob"] <= 0
        best, *others = item["top_logprobs"]
        assert (best["token"], best["logprob"]) == (item["token"], item["logprob"])
        assert all(one["logprob"] > two["logprob"] for one, two in pairwise([best, *others]))
        assert len(others) == 2
    chunks = await events(client, ask("Hi", logprobs=True, top_logprobs=3, max_tokens=4))
    parts = [
        c["choices"][0]["logprobs"]["content"] for c in chunks if "logprobs" in c["choices"][0]
    ]
    assert [item for part in parts for item in part] == content
    (plain,) = (await chat(client, ask("Hi", logprobs=True)))["choices"]
    assert all(item["top_logprobs"] == [] for item in plain["logprobs"]["content"])
    assert "logprobs" not in (await chat(client, ask("Hi")))["choices"][0]


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
    ("schema", "value"),
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
def test_fill(schema, value):
    assert demo.fill(schema, "Ask Ann Lee if 20, 0.25 or 8") == value


async def test_json_without_a_schema(client):
    text = (await chat(client, ask("Hi", response_format={"type": "json_object"})))["choices"][0][
        "message"
    ]
    assert json.loads(text["content"]) == {"note": demo.LABEL, "you_said": "Hi"}
    beside = {"type": "json_object", "schema": {"properties": {"n": {"const": 4}}}}
    text = (await chat(client, ask("Hi", response_format=beside)))["choices"][0]["message"]
    assert json.loads(text["content"]) == {"n": 4}
    text = (await chat(client, ask("Hi", response_format={"type": "text"})))["choices"][0][
        "message"
    ]
    assert text["content"].startswith("This is")


@pytest.mark.parametrize(
    "schema",
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
async def test_schemas_without_end_are_refused(client, schema):
    wanted = {"type": "json_schema", "json_schema": {"schema": schema}}
    reply = await post(client, ask(response_format=wanted))
    assert reply.status_code == 400
    assert "has no end" in reply.json()["error"]["message"]


async def test_a_schema_that_is_nothing_but_itself_is_refused(client):
    schema = {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}
    wanted = {"type": "json_schema", "json_schema": {"schema": schema}}
    assert (await post(client, ask(response_format=wanted))).status_code == 400


async def complete(client, **more):
    reply = await post(client, {"model": "demo", **more}, "/v1/completions")
    assert reply.status_code == 200
    return reply.json()


async def test_completions(client):
    reply = await complete(client, prompt="Once upon a time")
    (choice,) = reply["choices"]
    assert reply["object"] == "text_completion"
    assert "built-in demo model" in choice["text"]
    assert "“Once upon a time”" in choice["text"]
    assert choice["finish_reason"] == "stop"
    assert reply["usage"]["prompt_tokens"] == 4
    body = {
        "model": "demo",
        "prompt": "Once upon a time",
        "stream_options": {"include_usage": True},
    }
    *chunks, usage = await events(client, body, "/v1/completions")
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == choice["text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"]) == ([], reply["usage"])


async def test_completions_fill_in_the_middle(client):
    reply = await complete(client, prompt="def add(a, b):", suffix="return total")
    assert "between “b):” and “return”" in reply["choices"][0]["text"]


async def test_completions_stop_limit_and_logprobs(client):
    (choice,) = (await complete(client, prompt=["x"], stop="Ollama", logprobs=2))["choices"]
    assert choice["text"] == " This is "
    assert choice["logprobs"]["tokens"] == [" This", " is", " "]
    assert choice["logprobs"]["text_offset"] == [0, 5, 8]
    assert [len(top) for top in choice["logprobs"]["top_logprobs"]] == [2, 2, 2]
    (choice,) = (await complete(client, prompt="x", max_tokens=2))["choices"]
    assert (choice["text"], choice["finish_reason"]) == (" This is", "length")


async def embed(client, value, **more):
    body = {"model": "demo-embed", "input": value, **more}
    reply = (await post(client, body, "/v1/embeddings")).json()
    assert [item["index"] for item in reply["data"]] == list(range(len(reply["data"])))
    return [item["embedding"] for item in reply["data"]], reply["usage"]


def near(one, two):
    return sum(a * b for a, b in zip(one, two, strict=True))


async def test_embeddings_are_unit_vectors_near_for_similar_texts(client):
    texts = [
        "The cat sits on the mat",
        "A cat sat on a mat",
        "Quarterly revenue grew by nine percent",
        "",
        "!",
    ]
    vectors, usage = await embed(client, texts)
    assert all(math.hypot(*vector) == pytest.approx(1, abs=1e-6) for vector in vectors)
    assert all(len(vector) == 384 for vector in vectors)
    assert near(vectors[0], vectors[1]) > 0.4 > near(vectors[0], vectors[2]) + 0.1
    assert usage == {"prompt_tokens": 19, "total_tokens": 19}
    assert (await embed(client, texts[0]))[0] == vectors[:1]


@pytest.mark.parametrize("dimensions", [1, 8, 384])
async def test_embeddings_in_every_form_and_size(client, dimensions):
    floats, _ = await embed(client, ["one", "two"], dimensions=dimensions)
    packed, _ = await embed(client, ["one", "two"], dimensions=dimensions, encoding_format="base64")
    for numbers, text in zip(floats, packed, strict=True):
        assert math.hypot(*numbers) == pytest.approx(1, abs=1e-6)
        form = f"<{dimensions}f"
        assert struct.unpack(form, base64.b64decode(text)) == struct.unpack(
            form, struct.pack(form, *numbers)
        )


async def test_embeddings_of_tokens(client):
    (one,), _ = await embed(client, [1, 2])
    assert (await embed(client, [[1, 2], [3]]))[0][0] == one
    assert (await embed(client, "1 2"))[0][0] == one


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("chat/completions", ask(model="nobody"), 404, "nobody"),
        ("chat/completions", ask(model="demo-embed"), 400, "no text"),
        ("chat/completions", ask(model=None), 400, "model"),
        ("chat/completions", {"model": "demo"}, 400, "messages"),
        ("chat/completions", {"model": "demo", "messages": []}, 400, "messages"),
        ("chat/completions", {"model": "demo", "messages": ["x"]}, 400, "messages[0]"),
        ("chat/completions", ask(1), 400, "messages[0].content"),
        ("chat/completions", ask(max_tokens=0), 400, "max_tokens"),
        ("chat/completions", ask(max_tokens="9"), 400, "max_tokens"),
        ("chat/completions", ask(max_completion_tokens=True), 400, "max_completion_tokens"),
        ("chat/completions", ask(stop=[1]), 400, "stop"),
        ("chat/completions", ask(logprobs=True, top_logprobs=21), 400, "top_logprobs"),
        ("chat/completions", ask(response_format="json"), 400, "response_format"),
        ("chat/completions", ask(response_format={"type": "xml"}), 400, "response_format"),
        ("chat/completions", ask(response_format={"type": "json_schema"}), 400, "schema"),
        ("chat/completions", ask(tool_choice={"function": {"name": "f"}}), 400, "'f'"),
        (
            "chat/completions",
            ask([{"type": "image_url", "image_url": {"url": PNG}}]),
            400,
            "data: URL",
        ),
        (
            "chat/completions",
            ask([{"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}]),
            400,
            "base64",
        ),
        ("chat/completions", ask([{"type": "video", "video": {}}]), 400, "video"),
        ("completions", {"model": "demo-embed", "prompt": "x"}, 400, "no text"),
        ("completions", {"model": "demo", "prompt": ["a", "b"]}, 400, "prompt"),
        ("completions", {"model": "demo", "prompt": "a", "logprobs": 6}, 400, "logprobs"),
        ("embeddings", {"model": "demo-embed"}, 400, "input"),
        ("embeddings", {"model": "demo-embed", "input": []}, 400, "input"),
        ("embeddings", {"model": "demo-embed", "input": ["a", 1]}, 400, "input"),
        ("embeddings", {"model": "demo-embed", "input": "a", "dimensions": 385}, 400, "dimensions"),
        ("embeddings", {"model": "demo-embed", "input": "a", "dimensions": 0}, 400, "dimensions"),
        (
            "embeddings",
            {"model": "demo-embed", "input": "a", "encoding_format": "x"},
            400,
            "encoding",
        ),
        ("responses", {}, 404, "POST /v1/responses"),
    ],
)
async def test_errors_have_openais_form(client, path, body, status, words):
    reply = await post(client, body, f"/v1/{path}")
    error = reply.json()["error"]
    assert reply.status_code == status
    assert error.keys() == {"message", "type", "param", "code"}
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"
    codes = {400: {None}, 404: {"model_not_found", "unknown_url"}}
    assert error["code"] in codes[status]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model":"\xff"}', b"[" * 99999])
async def test_unreadable_bodies(client, body):
    reply = await client.post("/v1/chat/completions", content=body)
    assert reply.status_code == 400
    assert "JSON body" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/v1/embeddings"), ("PUT", "/v1/models")]
)
async def test_unknown_routes(client, method, path):
    reply = await client.request(method, path)
    assert reply.status_code == 404
    assert reply.json()["error"]["message"] == f"Unknown request URL: {method} {path}"


async def test_deep_nesting_is_no_crash(client):
    deep = b'{"model":"demo","messages":' + b"[" * 900 + b"]" * 900 + b"}"
    reply = await client.post("/v1/chat/completions", content=deep)
    assert reply.status_code == 400
    deep = b'{"model":"demo","messages":[{"role":"user"}],"tools":' + b"[" * 900 + b"]" * 900 + b"}"
    reply = await client.post("/v1/chat/completions", content=deep)
    assert reply.status_code in {200, 400}


async def test_openais_own_client(client):
    async with AsyncOpenAI(base_url="http://demo/v1", api_key="none", http_client=client) as sdk:
        assert [model.id async for model in sdk.models.list()] == ["demo", "demo-embed"]
        reply = await sdk.chat.completions.create(**ask("Hello"))
        assert "demo model" in reply.choices[0].message.content
        async with sdk.chat.completions.stream(**ask(tools=[WEATHER])) as stream:
            whole = (await stream.get_final_completion()).choices[0].message
        assert json.loads(whole.tool_calls[0].function.arguments)["city"] == "New York"
        parsed = await sdk.chat.completions.parse(**ask(), response_format=Address)
        assert parsed.choices[0].message.parsed.city == "New York"
        vectors = await sdk.embeddings.create(model="demo-embed", input=["a"])
        assert len(vectors.data[0].embedding) == 384
        with pytest.raises(NotFoundError):
            await sdk.chat.completions.create(**ask(model="nobody"))
        with pytest.raises(BadRequestError):
            await sdk.chat.completions.create(**ask(max_tokens=0))


KEYS = re.findall(
    r"\S+",
    """
    model messages role content type text image_url url tools function name description parameters
    properties required items enum anyOf allOf $ref $defs minimum multipleOf minItems tool_choice
    stop max_tokens response_format json_schema schema stream stream_options prompt suffix input
    dimensions encoding_format tool_calls id tool_call_id reasoning_effort logprobs top_logprobs
    input_audio data format file default const uniqueItems prefixItems maxItems exclusiveMinimum
    """,
)
WORDS = [
    "demo",
    "demo-embed",
    "user",
    "tool",
    "object",
    "array",
    "integer",
    "auto",
    "required",
    "#/a",
]
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4) | st.sampled_from(WORDS)
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=15,
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "tool", "assistant", "x"]), "content": values}
    ),
    min_size=1,
    max_size=2,
)
bodies = st.fixed_dictionaries(
    {"model": st.sampled_from(["demo", "demo-embed"])},
    optional={
        "messages": messages | values,
        "tools": st.lists(st.fixed_dictionaries({"function": values})) | values,
        "response_format": st.fixed_dictionaries(
            {
                "type": st.just("json_schema"),
                "json_schema": st.fixed_dictionaries(
                    {"schema": st.dictionaries(st.sampled_from(KEYS), values)}
                ),
            }
        )
        | values,
        **{
            key: values
            for key in KEYS
            if key not in ("model", "messages", "tools", "response_format")
        },
    },
)
PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]


@settings(max_examples=150, deadline=None)
@given(bodies | values, st.sampled_from(PATHS))
def test_any_json_gets_an_answer_or_a_refusal(body, path):
    status, reply = asyncio.run(exchange(path, json.dumps(body).encode()))
    assert status in {200, 400, 404}
    assert reply


@given(st.binary(), st.sampled_from(PATHS))
def test_any_bytes_get_an_answer_or_a_refusal(body, path):
    status, reply = asyncio.run(exchange(path, body))
    assert status in {400, 404}
    assert reply


async def exchange(path, body, app=demo.app):
    """One request by bare ASGI, its body in two parts: status and reply."""
    half = len(body) // 2
    parts = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:]},
    ]
    sent = []
    never = asyncio.Event()

    async def receive():
        if parts:
            return parts.pop(0)
        await never.wait()
        raise AssertionError

    async def send(message):
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": path}, receive, send)
    assert sent[-1].get("more_body", False) is False
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def test_a_client_that_hangs_up_in_a_pause_ends_the_stream():
    incoming = [{"type": "http.request", "body": json.dumps(ask("Hello", stream=True)).encode()}]
    sent = []
    gone = asyncio.Event()

    async def receive():
        if incoming:
            return incoming.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message["type"])
        if message["type"] == "http.response.body":
            gone.set()

    scope = {"type": "http", "method": "POST", "path": PATHS[0]}
    await asyncio.wait_for(demo.Demo(delay=3600)(scope, receive, send), 10)
    assert sent == ["http.response.start", "http.response.body"]


async def test_a_client_that_hangs_up_while_sending_gets_nothing():
    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError(message)

    await demo.app({"type": "http", "method": "POST", "path": PATHS[0]}, receive, send)


async def test_start_and_stop_of_the_server():
    steps = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
    sent = []

    async def receive():
        return steps.pop()

    async def send(message):
        sent.append(message["type"])

    await demo.app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
