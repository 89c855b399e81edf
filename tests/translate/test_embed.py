"""Embeddings: every form of an upstream's reply, unit length, and the bytes of both answers."""

import array
import base64
import json
import math
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_bridge.errors import BadRequest, UpstreamFailed
from ollama_bridge.translate import embed

THREE_FOUR = [3.0, 4.0]
UNIT = [0.6, 0.8]

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
sensible = st.floats(-1e6, 1e6, width=32)


def reply(*vectors, **more):
    """An upstream's reply with these embeddings in order."""
    data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data, **more}).encode()


def base64_of(numbers):
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def float32(numbers):
    return list(struct.unpack(f"<{len(numbers)}f", struct.pack(f"<{len(numbers)}f", *numbers)))


def numbers_of(body):
    return [list(vector.numbers) for vector in embed.vectors(body)[0]]


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (None, []),
        ("", []),
        ([], []),
        ([""], [""]),
        ("one", ["one"]),
        (" ", [" "]),
        (["one", "two"], ["one", "two"]),
    ],
)
def test_inputs(value, texts):
    assert embed.inputs(value) == texts


@pytest.mark.parametrize(
    "value", [1, 0, False, True, 1.5, {}, {"a": "b"}, ["a", 1], [None], [["a"]]]
)
def test_other_inputs_are_refused_in_ollamas_words(value):
    with pytest.raises(BadRequest) as caught:
        embed.inputs(value)
    assert caught.value.message == "invalid input type"
    assert caught.value.status == 400


def test_request_asks_for_floats_and_names_dimensions_only_if_the_client_did():
    assert embed.to_openai("m", ["a"], 0) == {
        "model": "m",
        "input": ["a"],
        "encoding_format": "float",
    }
    assert embed.to_openai("m", ["a"], 256)["dimensions"] == 256


@given(st.lists(st.text(max_size=3)), st.integers(-1, 5))
def test_batches_keep_order_and_size(texts, size):
    parts = embed.batches(texts, size)
    assert [text for part in parts for text in part] == texts
    assert all(0 < len(part) <= max(1, size) for part in parts)
    assert all(len(part) == max(1, size) for part, _ in pairwise(parts))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (reply([1.0, 2.0], [3.0, 4.0]), [[1, 2], [3, 4]]),
        (reply([1, 2]), [[1, 2]]),
        (reply(base64_of([1.5, -2.25])), [[1.5, -2.25]]),
        (reply([[1.0, 2.0], [3.0, 6.0]]), [[2, 4]]),  # one vector per token
        (reply([[1.0, 2.0]]), [[1, 2]]),
        (b'[{"embedding":[1.5]}]', [[1.5]]),
        (b'{"data":[{"embedding":[2],"index":1},{"embedding":[1],"index":0}]}', [[1], [2]]),
        (b'{"data":[{"embedding":[2],"index":null},{"embedding":[1]}]}', [[2], [1]]),
        (b'{"data":[{"embedding":[2],"index":0},{"embedding":[1],"index":0}]}', [[2], [1]]),
        (b'{"data":[{"embedding":[2],"index":"1"},{"embedding":[1],"index":"0"}]}', [[2], [1]]),
        (b'{"data":[{"embedding":[2],"index":true},{"embedding":[1],"index":false}]}', [[2], [1]]),
        (b'{"data":[{"embedding":[1],"index":0}],"error":null,"usage":null}', [[1]]),
        (b'{"data":[]}', []),
        (reply(base64.b64encode(bytes([1, 255, 128, 127, 3])).decode()), [[1, -1, -128, 127, 3]]),
    ],
)
def test_vectors_of_every_form(body, expected):
    assert numbers_of(body) == expected


def test_order_is_restored_for_base64_too():
    body = json.dumps(
        {"data": [{"embedding": base64_of([n]), "index": n} for n in (2, 0, 1)]}
    ).encode()
    assert numbers_of(body) == [[0.0], [1.0], [2.0]]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 7, "total_tokens": 7}, 7),
        ({"prompt_tokens": "7"}, 7),
        ({"prompt_tokens": None}, None),
        ({"prompt_tokens": True}, None),
        ({"prompt_tokens": "some"}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_prompt_tokens(usage, tokens):
    assert embed.vectors(reply([1.0], usage=usage))[1] == tokens
    assert embed.vectors(reply(base64_of([1.0]), usage=usage))[1] == tokens


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b'{"data":', "not JSON"),
        (b'{"data":[{"embedding":[NaN]}]}', "not JSON"),
        (b'{"data":[{"embedding":"\xff"}]}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"data":[{"embedding":[1 2]}]}', "not JSON"),
        (b'{"data":[{"embedding":[\t]}]}', "empty or missing"),
        (b"null", "no list of embeddings"),
        (b"{}", "no list of embeddings"),
        (b'"busy"', "busy"),
        (b'{"detail":"model is loading"}', "model is loading"),
        (b'{"data":[1]}', "no list of embeddings"),
        (b'{"data":[{}]}', "empty or missing"),
        (b'{"data":[{"embedding":[]}]}', "empty or missing"),
        (b'{"data":[{"embedding":""}]}', "empty or missing"),
        (b'{"data":[{"embedding":[1]},{"embedding":null}]}', "empty or missing"),
        (b'{"data":[{"embedding":[1,null]}]}', "does not consist of numbers"),
        (b'{"data":[{"embedding":["1"]}]}', "does not consist of numbers"),
        (b'{"data":[{"embedding":[[1],[1,2]]}]}', "differ in length"),
        (b'{"data":[{"embedding":[[],[]]}]}', "are empty"),
        (b'{"data":[{"embedding":[[1],2]}]}', "does not consist of numbers"),
        (b'{"data":[{"embedding":"?"}]}', "base64"),
        (b'{"data":[{"embedding":"\xc3\xa9"}]}', "base64"),
        (b'{"error":{"message":"no such model"}}', "no such model"),
        (b'{"error":{"message":"window [1 - 60], [ 1 2 ]"}}', r"window \[1 - 60\], \[ 1 2 \]"),
        (b'{"error":"no such model","data":[{"embedding":[1]}]}', "no such model"),
    ],
)
def test_unusable_replies_name_the_provider_and_the_reason(body, words):
    with pytest.raises(UpstreamFailed, match=words) as caught:
        embed.vectors(body, "lab")
    assert "lab" in caught.value.message


@pytest.mark.parametrize("text", ["-", ",", "1,,2", "0.1.2", "e", "1,", "01"])
def test_a_list_that_only_looks_like_numbers_is_refused(text):
    (vector,) = embed.vectors(b'{"data":[{"embedding":[%b]}]}' % text.encode(), "lab")[0]
    with pytest.raises(UpstreamFailed, match=r"^lab .*no list of numbers"):
        embed.units([vector])
    with pytest.raises(UpstreamFailed, match=r"^lab .*no list of numbers"):
        embed.to_ollama_legacy(vector)


def test_brackets_cost_no_more_than_other_bytes():
    """Were each looked for from the start, a few megabytes of them would take hours."""
    with pytest.raises(UpstreamFailed):
        embed.vectors(b"]" * 4_000_000)


def test_a_reply_of_very_many_lists_is_read_field_by_field(monkeypatch):
    monkeypatch.setattr(embed, "LISTS", 2)
    body = reply([3.0], [4.0], [5.0])
    assert numbers_of(body) == [[3.0], [4.0], [5.0]]
    assert not any(vector.text for vector in embed.vectors(body)[0])


def test_an_error_inside_a_success_keeps_its_status():
    with pytest.raises(UpstreamFailed) as caught:
        embed.vectors(b'{"error":{"message":"slow down","code":429}}')
    assert caught.value.status == 429


@given(st.binary())
def test_no_bytes_raise_anything_else(body):
    try:
        embed.vectors(body)
    except UpstreamFailed:
        return
    json.loads(body)  # raises: whatever is accepted was JSON


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "embedding", "index", "usage", "error"]), inner)
    ),
    max_leaves=12,
)


@given(json_values)
def test_no_json_raises_anything_else(value):
    try:
        found, _ = embed.vectors(json.dumps({"data": [value]}).encode())
    except UpstreamFailed:
        return
    assert all(vector.numbers for vector in found)


@pytest.mark.parametrize(
    ("numbers", "dimensions", "expected"),
    [
        (THREE_FOUR, 0, UNIT),
        (THREE_FOUR, -1, UNIT),
        (THREE_FOUR, 2, UNIT),
        (THREE_FOUR, 9, UNIT),
        (THREE_FOUR, 1, [1.0]),
        ([*THREE_FOUR, 12.0], 2, UNIT),
        ([0.0, 0.0], 0, [0.0, 0.0]),
        ([0.0, 5.0], 1, [0.0]),
    ],
)
def test_unit(numbers, dimensions, expected):
    assert embed.unit(embed.Vector(numbers), dimensions).numbers == pytest.approx(expected)


def test_a_unit_vector_is_not_made_again():
    vector = embed.Vector(UNIT)
    assert all(embed.unit(vector, dimensions) is vector for dimensions in (0, 2, 3))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(number):
    body = reply(base64_of([1.0, number, 2.0]))
    (vector,) = embed.vectors(body)[0]
    with pytest.raises(UpstreamFailed, match="finite"):
        embed.unit(vector)
    with pytest.raises(UpstreamFailed, match="finite"):
        embed.to_ollama_legacy(vector)


@given(st.lists(finite, min_size=1, max_size=20), st.integers(0, 25))
def test_unit_has_length_one_and_keeps_the_direction(numbers, dimensions):
    found = embed.unit(embed.Vector(numbers), dimensions).numbers
    kept = numbers[:dimensions] if dimensions else numbers
    assert len(found) == len(kept)
    length = math.hypot(*kept)
    assert math.hypot(*found) == pytest.approx(1.0 if length else 0.0, abs=2e-6)
    assert [n * length for n in found] == pytest.approx(kept, rel=2e-6)


@given(st.lists(st.lists(sensible, min_size=1, max_size=9), min_size=1, max_size=4), st.booleans())
def test_every_number_leaves_with_its_float32_value(vectors, indented):
    texts = [[float(f"{number:.9g}") for number in vector] for vector in vectors]
    value = {"data": [{"index": i, "embedding": text} for i, text in enumerate(texts)]}
    for body in (json.dumps(value, indent=2 if indented else None).encode(), packed(vectors)):
        for vector, expected in zip(embed.vectors(body)[0], vectors, strict=True):
            sent = json.loads(embed.to_ollama_legacy(vector))["embedding"]
            assert float32(sent) == expected


def packed(vectors):
    return reply(*map(base64_of, vectors))


LAYOUTS = {
    "compact": {"separators": (",", ":")},
    "python": {},
    "indented": {"indent": 4},
    "tabs": {"indent": "\t"},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_unit_vector_leaves_with_the_digits_that_came(layout):
    text = json.dumps({"data": [{"object": "embedding", "embedding": [0.600, 0.8]}]}, **layout)
    body = text.replace("0.6", "6.000e-1").encode()
    (vector,) = embed.vectors(body)[0]
    answer = embed.to_ollama("m", [embed.unit(vector)], 1, 1, 1)
    assert b'"embeddings":[[6.000e-1,0.8]]' in answer


@pytest.mark.parametrize(
    "body",
    [
        b'{"decoy":{"embedding":[9,9]},"data":[{"embedding":[0.6,0.8]}]}',
        b'{"data":[{"note":"\\"embedding\\":[9,9]","embedding":[0.6,0.8]}]}',
        b'{"data":[{"embedding":[9,9],"embedding":[0.6,0.8]}]}',
        b'{"data":[{"x\\"embedding":[9,9],"embedding":[0.6,0.8]}]}',
        b'{"data":[{"embedd\\u0069ng":[0.6,0.8]}]}',
        b'{"more":{"embedding":[0.6,9]},"data":[{"embedding":[0.6,0.8]}]}',
        b'{"more":{"embedding":[9,0.8]},"data":[{"embedding":[0.6,0.8]}]}',
        b'{"note":"[9","data":[{"embedding":[0.6,0.8],"note":"["}],"more":"9]"}',
        b'{"note":"]","data":[{"note":"[7]","embedding":[0.6,0.8],"note":"]"}],"more":"["}',
        b'{"data":[{"embedding":[0.6,0.8]}],"model":"lab [2024 - 11]","more":"[1 2]"}',
        b'{"data":[{"embedding":[0.6,0.8]}],"more":[1e400, 2]}',
        b'{"more":{"embedding":[]},"data":[{"embedding":[0.6,0.8]}]}',
        b'{"more":{"embedding":["a","b"]},"data":[{"embedding":[0.6,0.8]}]}',
    ],
)
def test_look_alikes_of_a_vector_are_not_taken_for_it(body):
    (vector,) = embed.vectors(body)[0]
    assert json.loads(embed.to_ollama_legacy(vector)) == {"embedding": UNIT}


def test_embed_answer_in_wire_order():
    answer = embed.to_ollama('a"<b', [embed.Vector(UNIT), embed.Vector([1.0])], 30, 20, 10)
    assert json.loads(answer, object_pairs_hook=list) == [
        ("model", 'a"<b'),
        ("embeddings", [UNIT, [1.0]]),
        ("total_duration", 30),
        ("load_duration", 20),
        ("prompt_eval_count", 10),
    ]
    assert b" " not in answer


def test_counters_are_never_zero():
    answer = json.loads(embed.to_ollama("m", [embed.Vector(UNIT)], 0, -1, 0))
    assert [answer[key] for key in ("total_duration", "load_duration", "prompt_eval_count")] == [
        1
    ] * 3


def test_load_answers():
    assert embed.to_ollama("m", [], 5, 5, 5) == b'{"model":"m","embeddings":[]}'
    assert embed.to_ollama_legacy(None) == b'{"embedding":[]}'


def test_legacy_answer_keeps_the_length():
    assert embed.to_ollama_legacy(embed.Vector(THREE_FOUR)) == b'{"embedding":[3.0,4.0]}'


def test_signed_bytes_are_told_from_float32():
    numbers = [-10, 60, 0, 3, -14, -2, -9, -32, 13, 0, 30, 58, 2, 0, -10, -1]
    data = array.array("b", numbers).tobytes()
    assert numbers_of(reply(base64.b64encode(data).decode())) == [numbers]
