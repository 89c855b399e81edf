"""The built-in `demo` provider: a small OpenAI-compatible service that needs no network and no key.

Strategy: the same request always gets the same answer. A reply is worked out whole, as a list of
short tokens, and then sent either at once or token by token; so streaming, limits, stop words and
counts agree by construction. It holds no language model and says so in every answer.
"""

from ollama_bridge.demo.asgi import Demo, app

__all__ = ["Demo", "app"]
