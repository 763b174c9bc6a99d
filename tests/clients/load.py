"""200 clients at once, each with jobs of its own: none lost, none doubled, /health answered at once, memory bounded."""
import asyncio
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from urllib.parse import urlparse

import httpx

SERVER, CLIENTS, JOBS = sys.argv[1], 200, 3
ORDER = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2}


async def client(api, number, names, full):
    for i in range(JOBS):
        seed = number * JOBS + i
        while True:
            answer = await api.post("/v1/jobs", json=ORDER | {"seed": seed})
            if answer.status_code == 202:
                break
            assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0, answer.text
            full.append(1)
            await asyncio.sleep(0.2)
        name = answer.json()["job_id"]
        names.append((name, seed))
        last = None
        async with api.stream("GET", f"/v1/jobs/{name}/stream") as events:
            async for line in events.aiter_lines():
                if line.startswith("event: "):
                    last = line[7:]
        assert last == "complete", (name, last)


def watch():
    """Asks for /health until told to stop; runs by itself, so that it times the server and not the clients."""
    connection = http.client.HTTPConnection(urlparse(SERVER).netloc)
    times = []
    while not os.path.exists(sys.argv[3]):
        begun = time.perf_counter()
        connection.request("GET", "/health")
        assert connection.getresponse().read()
        times.append(time.perf_counter() - begun)
        time.sleep(0.01)
    json.dump(times, sys.stdout)


async def figures(api):
    text = (await api.get("/metrics")).text
    return {name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", text, re.M)}


async def main():
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    names, full = [], []
    done = os.path.join(tempfile.mkdtemp(), "done")
    watcher = subprocess.Popen([sys.executable, __file__, SERVER, "watch", done], stdout=subprocess.PIPE, text=True)
    async with httpx.AsyncClient(base_url=SERVER, timeout=300, limits=limits) as api:
        before = await figures(api)
        begun = time.perf_counter()
        await asyncio.gather(*(client(api, number, names, full) for number in range(CLIENTS)))
        seconds = time.perf_counter() - begun
        open(done, "w").close()
        times = sorted(json.loads(watcher.communicate()[0]))
        after = await figures(api)
        assert len({name for name, _ in names}) == CLIENTS * JOBS
        for name, seed in names[:: len(names) // 50]:
            job = (await api.get(f"/v1/jobs/{name}")).json()
            assert job["state"] == "completed" and job["images"][0]["seed"] == seed, job
    grown = {key: after[key] - before[key] for key in ('sdgen_jobs_total{state="completed"}', "sdgen_images_total")}
    assert set(grown.values()) == {CLIENTS * JOBS}, grown
    at = lambda share: 1000 * times[int(len(times) * share)]
    megabytes = [figure["process_resident_memory_bytes"] / 1e6 for figure in (before, after)]
    print(f"{CLIENTS} clients, {CLIENTS * JOBS} jobs in {seconds:.1f} s; refused with 503: {len(full)}")
    print(f"/health over {len(times)} calls: median {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, worst {1000 * times[-1]:.1f} ms")
    print(f"resident memory: {megabytes[0]:.0f} MB before, {megabytes[1]:.0f} MB after")
    assert at(0.99) < 50, "p99 of /health is 50 ms or more"


if len(sys.argv) > 2:
    watch()
else:
    asyncio.run(main())
