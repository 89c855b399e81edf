"""Plain completions: text that goes on, or fills a gap."""

from demo.asking import events, post


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
