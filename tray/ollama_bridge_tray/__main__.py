"""`python -m ollama_bridge_tray`: the tray icon."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
