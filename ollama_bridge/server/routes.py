"""What a route is: a coroutine function that answers one exchange."""

from collections.abc import Awaitable, Callable

from ollama_bridge.server.bridge import Bridge
from ollama_bridge.server.exchange import Exchange

Route = Callable[[Bridge, Exchange], Awaitable[None]]
Routes = dict[str, dict[str, Route]]
"""Path to method to route. A path that ends in `/*` takes any end, slashes included."""
