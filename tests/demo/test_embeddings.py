"""Embeddings: form, size, and what is near to what."""

import base64
import math
import struct

import pytest
from demo.asking import post


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
