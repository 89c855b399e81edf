"""What the model writes after a text, or between two texts."""

from ollama_bridge.demo import models, reply, request
from ollama_bridge.demo.models import LABEL
from ollama_bridge.demo.reply import Answer, Reply
from ollama_bridge.demo.request import Body, Json
from ollama_bridge.demo.words import quote
from ollama_bridge.errors import BadRequest


def respond(body: Body) -> Reply:
    """Answer a request to /v1/completions."""
    models.talker(body)
    prompt, suffix = _prompt(body), body.get("suffix")
    text = f" {LABEL} Your text was: {quote(prompt)}"
    if isinstance(suffix, str) and suffix:
        text = _between(prompt, suffix)
    answer = reply.limited(Answer(words=reply.until_stop(text, body)), body)
    top = request.whole_number(body, "logprobs", 0, 5)
    head = reply.frame(body, "cmpl", "text_completion")
    used = reply.usage([prompt, suffix], answer)
    whole = _choice(answer.words, top, answer.finish)
    parts = [_choice([word], top, None) for word in answer.words]
    return reply.written(body, head, used, whole, [*parts, _choice([], None, answer.finish)])


def _prompt(body: Body) -> str:
    prompt = body.get("prompt") or ""
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise BadRequest("'prompt' must be one string")
    return prompt


def _between(prompt: str, suffix: str) -> str:
    before, after = "".join(prompt.split()[-1:]), "".join(suffix.split()[:1])
    return f" [demo: text between {quote(before)} and {quote(after)}] "


def _choice(words: list[str], top: int | None, finish: str | None) -> Json:
    told = None if top is None else _logprobs(words, top)
    return {"index": 0, "text": "".join(words), "finish_reason": finish, "logprobs": told}


def _logprobs(words: list[str], top: int) -> Json:
    ranks = [reply.ranked(word, top)[:top] for word in words]
    return {
        "tokens": words,
        "token_logprobs": [reply.ranked(word, 1)[0]["logprob"] for word in words],
        "top_logprobs": [{item["token"]: item["logprob"] for item in items} for items in ranks],
        "text_offset": [sum(map(len, words[:index])) for index in range(len(words))],
    }
