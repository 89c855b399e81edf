"""`python -m ollama_bridge_cli`: the command line where its script is not installed."""

from ollama_bridge_cli.entry import main

main()
