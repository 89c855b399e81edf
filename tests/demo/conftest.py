"""What the demo's tests share."""

import httpx
import pytest

from ollama_bridge.demo import app


@pytest.fixture
async def client():
    """OpenAI's client, straight into the application."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://demo") as http:
        yield http
