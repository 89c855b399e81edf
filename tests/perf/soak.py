"""Minutes of mixed load on one daemon, its memory, files, sockets and threads as curves.

    python tests/perf/soak.py [--minutes 10] [--clients 20] [--out tests/perf/soak.svg]

Streams, whole answers, vectors, clients that hang up in mid-stream, connections that say nothing and
reloaded settings, all at once and again and again. Exit code 1 when an answer was wrong, or when the
second half needs clearly more than the first.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "cli")]

from daemons import Home, end, until_ready  # noqa: E402
from fake_upstream import Call, FakeUpstream  # noqa: E402
from servers import served  # noqa: E402

EVERY = 1.0
"""Seconds between two samples."""

WARM = 0.2
"""The part of the time in which things may grow: caches fill, lists come."""

MAY_GROW = 1.1
"""The second half's median over the first's; what leaks grows without end."""

WORDS = 40
HELLO = [{"role": "user", "content": "hello"}]
Sample = dict[str, float]


async def act(call: Call) -> None:
    """The provider: forty words or a vector."""
    if call.path.endswith("/embeddings"):
        await call.json({"data": [{"index": 0, "embedding": [0.6, 0.8] * 700}]})
        return
    if not call.body.get("stream"):
        message = {"role": "assistant", "content": "word " * WORDS}
        await call.json({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        return
    await call.start()
    for number in range(WORDS):
        if call.gone.is_set():
            return
        await call.text(f"{number} ")
        await asyncio.sleep(0.005)
    await call.text("", finish="stop")
    await call.write("data: [DONE]\n\n", more=False)


class Load:
    """Clients without end; `wrong` holds what was not as it should be."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.done = 0
        self.wrong: list[str] = []

    async def client(self, number: int, until: float) -> None:
        kinds = (self.stream, self.whole, self.vectors, self.leave, self.stream, self.silent)
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            while time.monotonic() < until:
                try:
                    await kinds[(number + self.done) % len(kinds)](client)
                except httpx.HTTPError as error:
                    self.wrong.append(repr(error))
                self.done += 1
                await asyncio.sleep(0.02)

    async def stream(self, client: httpx.AsyncClient) -> None:
        reply = await client.post(f"{self.url}/api/chat", json={"model": "m", "messages": HELLO})
        lines = [json.loads(line) for line in reply.text.splitlines()]
        said = "".join(line.get("message", {}).get("content", "") for line in lines)
        self.expect(said.split() == [str(number) for number in range(WORDS)], reply.text)
        self.expect(lines[-1].get("done") is True, reply.text)

    async def whole(self, client: httpx.AsyncClient) -> None:
        body = {"model": "m", "messages": HELLO, "stream": False}
        reply = await client.post(f"{self.url}/api/chat", json=body)
        self.expect(reply.json().get("done") is True, reply.text)

    async def vectors(self, client: httpx.AsyncClient) -> None:
        reply = await client.post(f"{self.url}/api/embed", json={"model": "m", "input": "hello"})
        self.expect(len(reply.json().get("embeddings", ())) == 1, reply.text)

    async def leave(self, client: httpx.AsyncClient) -> None:
        """Hang up after the first words."""
        body = {"model": "m", "messages": HELLO}
        async with client.stream("POST", f"{self.url}/api/chat", json=body) as reply:
            await anext(reply.aiter_bytes())

    async def silent(self, _client: httpx.AsyncClient) -> None:
        """Connect, say half a request, go."""
        host, port = self.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /api/chat HTTP/1.1\r\nhost: ")
        writer.close()

    def expect(self, true: bool, text: str) -> None:
        if not true:
            self.wrong.append(text[:300])


async def sampled(pid: int, until: float) -> list[Sample]:
    """What the daemon holds, from time to time."""
    process, samples, began = psutil.Process(pid), [], time.monotonic()
    while time.monotonic() < until:
        with process.oneshot():
            samples.append(
                {
                    "minutes": (time.monotonic() - began) / 60,
                    "memory (MB)": process.memory_info().rss / 1e6,
                    "files": process.num_fds(),
                    "sockets": len(process.net_connections()),
                    "threads": process.num_threads(),
                }
            )
        await asyncio.sleep(EVERY)
    return samples


async def reloaded(home: Home, until: float) -> int:
    """Settings read anew every ten seconds."""
    note, times = home.note(), 0
    url = f"http://127.0.0.1:{note['port']}/_bridge/reload"
    async with httpx.AsyncClient(trust_env=False) as client:
        while time.monotonic() < until:
            reply = await client.post(url, headers={"authorization": f"Bearer {note['token']}"})
            reply.raise_for_status()
            times += 1
            await asyncio.sleep(10)
    return times


def growth(samples: list[Sample], what: str) -> float:
    """The median of the second half over that of the first, once it was warm."""
    values = [sample[what] for sample in samples[int(len(samples) * WARM) :]]
    half = len(values) // 2
    return statistics.median(values[half:]) / max(1.0, statistics.median(values[:half]))


def svg(samples: list[Sample]) -> str:
    """One curve below the other, each with its own scale from zero."""
    names = [name for name in samples[0] if name != "minutes"]
    wide, high, left = 640, 110, 90
    longest = samples[-1]["minutes"] or 1.0
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12"',
        f'width="{wide + left + 20}" height="{len(names) * (high + 30) + 20}">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for row, name in enumerate(names):
        top = row * (high + 30) + 15
        most = max(sample[name] for sample in samples) * 1.2 or 1.0
        points = " ".join(
            f"{left + wide * sample['minutes'] / longest:.1f},"
            f"{top + high - high * sample[name] / most:.1f}"
            for sample in samples
        )
        parts += [
            f'<text x="4" y="{top + 12}">{name}</text>',
            f'<text x="4" y="{top + 28}">0 to {most:.0f}</text>',
            f'<path d="M{left} {top}V{top + high}H{left + wide}" fill="none" stroke="#888"/>',
            f'<polyline points="{points}" fill="none" stroke="#06c" stroke-width="1.5"/>',
        ]
    parts.append(
        f'<text x="{left}" y="{len(names) * (high + 30) + 10}">{longest:.1f} minutes</text>'
    )
    return "\n".join([*parts, "</svg>\n"])


async def soak(
    home: Home, pid: int, minutes: float, clients: int
) -> tuple[Load, list[Sample], int]:
    load = Load(f"http://127.0.0.1:{home.note()['port']}")
    until = time.monotonic() + minutes * 60
    work = [load.client(number, until) for number in range(clients)]
    samples, times, *_ = await asyncio.gather(sampled(pid, until), reloaded(home, until), *work)
    return load, samples, times


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--clients", type=int, default=20)
    options.add_argument("--out", type=Path, default=Path(__file__).with_name("soak.svg"))
    given: Any = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(FakeUpstream(act)) as url:
        home = Home(Path(folder))
        home.write(f'[providers.lab]\nbase_url = "{url}/v1"\nkey = "none"\nmodels = ["m"]\n')
        child = home.daemon()
        try:
            until_ready(child)
            assert child.stderr is not None
            child.stderr.close()  # the log goes to its file; nobody reads the terminal
            load, samples, times = asyncio.run(soak(home, child.pid, given.minutes, given.clients))
        finally:
            end(child)
    given.out.write_text(svg(samples), encoding="utf-8")
    print(f"{load.done} requests, settings reloaded {times} times, {len(load.wrong)} wrong")
    print(*load.wrong[:5], sep="\n")
    failed = bool(load.wrong)
    for what in [name for name in samples[0] if name != "minutes"]:
        grown = growth(samples, what)
        failed |= grown > MAY_GROW
        values = [sample[what] for sample in samples]
        print(f"{what}: {min(values):.0f} to {max(values):.0f}, second half / first: {grown:.2f}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
