"""What HTTP adds to a job: its time as a client sees it less the time that the engine took."""
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time

folder = tempfile.TemporaryDirectory()
command = [sys.argv[1], "serve", "-m", "demo", "--port", "0", "--state", folder.name]
server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
address = server.stderr.readline().strip().split("http://")[1]
ORDER = json.dumps({"prompt": "a red circle", "width": 64, "height": 64, "steps": 4, "seed": 1})


def request(connection, method, path, body=None):
    connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    return connection.getresponse()


connection = http.client.HTTPConnection(address)
over, drawn = [], []
for i in range(60):
    begun = time.perf_counter()
    job = json.load(request(connection, "POST", "/v1/jobs", ORDER))
    events = request(connection, "GET", job["stream_url"]).read().decode()
    seconds = json.loads(events.strip().rsplit("data: ", 1)[1])["seconds"]
    picture = request(connection, "GET", f"/v1/jobs/{job['job_id']}/image").read()
    whole = time.perf_counter() - begun
    assert picture.startswith(b"\x89PNG")
    if i >= 10:
        over.append(1000 * (whole - seconds))
        drawn.append(1000 * seconds)
server.terminate()
server.wait()
median, worst = statistics.median(over), sorted(over)[int(len(over) * 0.95)]
print(f"drawing {statistics.median(drawn):.1f} ms; order, events and picture add {median:.1f} ms (p95 {worst:.1f} ms)")
assert median < 10
