"""What the chat model says: text, thoughts, limits and stops."""

from itertools import pairwise

import pytest
from demo.asking import PNG, WEATHER, ask, chat, events, joined, spoken


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
