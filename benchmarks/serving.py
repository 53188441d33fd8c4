"""Our server against a plain FastAPI + transformers pipeline and LitServe, on the same weights.

Needs ``wrk`` (apt install wrk) and ``pip install litserve``. Server and load share the machine.

python -m benchmarks.serving [--seconds 15] [--overload 60] [--only weilei]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from classifier.bundle import shipped_model
from classifier.text import TextEncoder

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "training" / "data" / "corpus.jsonl"
_TOKENS = (50, 70)
_START = 60.0  # seconds that a server may take to its first answer
_LUA = """
local bodies = {%s}
local n = 0
request = function()
  n = n %% #bodies + 1
  return wrk.format("POST", "/v1/classify", {["Content-Type"] = "application/json"}, bodies[n])
end
"""
SERVERS = {
    "weilei": [sys.executable, "-c", "from classifier.cli import main; main()", "serve"],
    "FastAPI + pipeline": [sys.executable, "-m", "uvicorn", "benchmarks.peers_http:plain"],
    "LitServe": [sys.executable, "-m", "benchmarks.peer_litserve"],
}


def bodies() -> list[str]:
    """JSON bodies of about 60 tokens from the test part of the corpus."""
    model = shipped_model()
    rows = map(json.loads, CORPUS.read_text(encoding="utf-8").splitlines())
    texts = [row["text"] for row in rows if row["split"] == "test"]
    lengths = [len(i) for i in TextEncoder(model / "tokenizer.json", 256).encode(texts).ids]
    least, most = _TOKENS
    return [
        json.dumps({"text": text}, ensure_ascii=False)
        for text, n in zip(texts, lengths, strict=True)
        if least <= n <= most
    ]


@contextmanager
def server(name: str, quiet: bool = False, **settings: str) -> Iterator[tuple[str, int]]:
    """Address and process of a running server; `settings` go into its environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*SERVERS[name], "--port", str(port)], cwd=ROOT, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **settings},
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    begun = time.perf_counter()
    try:
        while True:
            try:
                if httpx.post(f"{url}/v1/classify", json={"text": "路灯坏了"}).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.02)
            if time.perf_counter() - begun > _START:
                raise RuntimeError(f"{name} does not answer")
        if not quiet:
            print(f"{name}: first answer {time.perf_counter() - begun:.1f} s after the start")
        yield url, process.pid
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def load(url: str, script: Path, connections: int, seconds: int) -> dict[str, float]:
    """One run of wrk: answers a second, latency in ms, answers that were not 200."""
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script),
         "--timeout", "20s", url],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    def percentile(which: str) -> float:
        found = re.search(rf"{which}%\s+([\d.]+)(us|ms|s)", out)
        assert found is not None, out
        return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]

    total = re.search(r"(\d+) requests in ([\d.]+)s", out)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    assert total is not None
    bad = int(refused[1]) if refused else 0
    return {
        "rate": (int(total[1]) - bad) / float(total[2]),
        "p50": percentile("50"),
        "p99": percentile("99"),
        "not 200": bad,
    }


def overload(url: str, script: Path, seconds: int, texts: list[str]) -> None:
    """Ten times the clients, and one more that looks at what it is answered, and when."""
    wrk = subprocess.Popen(
        ["wrk", "-t1", "-c320", f"-d{seconds}s", "-s", str(script), "--timeout", "20s", url],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    statuses: Counter[int] = Counter()
    refusals = []
    headers = {"content-type": "application/json"}
    with httpx.Client(base_url=url, timeout=20) as client:
        while wrk.poll() is None:
            begun = time.perf_counter()
            answer = client.post(
                "/v1/classify", content=texts[statuses.total() % len(texts)], headers=headers
            )
            statuses[answer.status_code] += 1
            if answer.status_code == 429:
                refusals.append((time.perf_counter() - begun) * 1e3)
            time.sleep(0.05)
        out = wrk.communicate()[0]
        begun = time.perf_counter()
        while client.post("/v1/classify", content=texts[0], headers=headers).status_code != 200:
            time.sleep(0.02)
        recovered = time.perf_counter() - begun
    total = int(re.search(r"(\d+) requests in", out)[1])  # type: ignore[index]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    good = total - (int(bad[1]) if bad else 0)
    print(f"  320 clients for {seconds} s: {good / seconds:.0f} answers a second, seen {statuses}")
    if refusals:
        print(f"  refused within {statistics.median(refusals):.0f} ms (median), "
              f"{max(refusals):.0f} ms (longest)")  # fmt: skip
    print(f"  an answer again after {recovered:.2f} s")


def resident(pid: int) -> float:
    """Resident memory in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--overload", type=int, default=0, help="seconds; ours only")
    parser.add_argument("--only", choices=list(SERVERS))
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt install wrk")
    texts = bodies()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(_LUA % ",".join(f"[==[{t}]==]" for t in texts), encoding="utf-8")
        for name in [arguments.only] if arguments.only else SERVERS:
            with server(name) as (url, pid):
                load(url, script, 4, 3)
                for connections in (1, 32):
                    found = load(url, script, connections, arguments.seconds)
                    print(f"  {connections} at once: {found['rate']:.1f} answers a second, "
                          f"p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms, "
                          f"not 200: {found['not 200']:.0f}")  # fmt: skip
                if name == "weilei" and arguments.overload:
                    overload(url, script, arguments.overload, texts)
                print(f"  resident {resident(pid):.0f} MB")


if __name__ == "__main__":
    main()
