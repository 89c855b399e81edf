"""Ollama Bridge: any OpenAI-compatible service behind Ollama's own API."""

__version__ = "0.1.0"
