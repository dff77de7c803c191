#!/usr/bin/env python3
"""Measures queries of Almenara beside Prometheus in one run, over the same samples: processor time and wall time.

usage: benches/queries.py [ALMENARA [FOLDER_OF_PEERS]]    (a release build; prometheus and promtool as .ci/peers unpacks them)

Two sets of samples, written as OpenMetrics text, a day at a time, and imported by both:
  hour    SERIES (10000) series at 15 s for two hours: queries of an hour at 15 s
  month   500 series at 30 s for DAYS (30) and two hours: queries of that time at 1 h, and at single instants with windows up to that time
The programs take turns, RUNS (5) runs each, every run 30 s later than the one before, so that nobody answers from memory, on a connection that stays open;
the mean of processor times is told, the median of wall times and their range behind it. Instants are asked ten times as often, for their times are small. An
answer that differs by more than a billionth is told and fails the run. Network traffic is on loopback; only what was started here is ended.
"""
import http.client, json, math, os, socket, statistics, subprocess, sys, tempfile, time, urllib.error, urllib.parse, urllib.request

ALMENARA = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else "target/release/almenara")
PEERS = os.path.realpath(sys.argv[2] if len(sys.argv) > 2 else "target/peers/usr/bin")
RUNS = int(os.environ.get("RUNS", "5"))
SERIES = int(os.environ.get("SERIES", "10000"))
DAYS = int(os.environ.get("DAYS", "30"))
TICK = os.sysconf("SC_CLK_TCK")
READY_SECS_MAX = 300

RATIO = 'sum{by}(rate(http_requests_total{{code=~"5.."}}[{w}])) / sum{by}(rate(http_requests_total[{w}]))'
BUCKETS, BOUNDS = "http_request_duration_seconds_bucket", 10
HOUR = [
    "vector(1)",
    "sum(rate(http_requests_total[5m]))",
    "sum by (service) (rate(http_requests_total[5m]))",
    f"histogram_quantile(0.99, sum by (service, le) (rate({BUCKETS}[5m])))",
    RATIO.format(by=" by (service) ", w="5m"),
    "max by (service) (max_over_time(http_requests_total[10m]))",
    'http_requests_total{service="svc0001"}',
]
MONTH = [
    "vector(1)",
    RATIO.format(by="", w="1h").replace("total{", 'total{service="svc0001",').replace("total[", 'total{service="svc0001"}['),
    RATIO.format(by=" by (service) ", w="1h"),
    RATIO.format(by="", w="5m"),
    f"histogram_quantile(0.99, sum by (le) (rate({BUCKETS}[1h])))",
    "sum(avg_over_time(http_requests_total[1d]))",
]


def one(window):
    return RATIO.format(by="", w=window).replace("total{", 'total{service="svc0001",').replace("total[", 'total{service="svc0001"}[')


INSTANTS = [
    ["vector(1)"],
    [one(f"{DAYS}d")],
    [one(window) for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d", f"{DAYS}d")],
    [RATIO.format(by=" by (service) ", w=f"{DAYS}d")],
    [f"histogram_quantile(0.99, sum by (service, le) (rate({BUCKETS}[{DAYS}d])))"],
]


def series(services):
    """Names and labels: per service 5 routes x (2 methods x 4 codes + 10 buckets), and 10 more counters."""
    for service in range(services):
        for route in range(5):
            at = f'service="svc{service:04}",route="/r{route}"'
            for method in ("GET", "POST"):
                for code in ("200", "404", "500", "503"):
                    yield "http_requests_total", f'{at},method="{method}",code="{code}"'
            for bound in ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"):
                yield BUCKETS, f'{at},le="{bound}"'
            for shard in range(2):
                yield "http_retries_total", f'{at},shard="{shard}"'


def write(path, services, slots, step):
    """Counters that grow by at least one a slot, a pure function of series and slot. A series' lines stand together.

    A bucket grows by no less than the one below, as those of any histogram: what does not is remarked upon, and takes both programs longer."""
    by_name = {}
    for name, labels in series(services):
        by_name.setdefault(name, []).append(labels)
    with open(path, "w") as out:
        for name, all_labels in by_name.items():
            for number, labels in enumerate(all_labels):
                head, slope, noise = f"{name}{{{labels}}} ", 8 + number % 7, number * 31
                if name == BUCKETS:
                    slope, noise = 8 + number % BOUNDS, number // BOUNDS * 31
                out.writelines(f"{head}{slot * slope + (slot * 7919 + noise) % 8} {slot * step}\n" for slot in slots)
        out.write("# EOF\n")


class Server:
    def __init__(self, command, listen, log):
        self.url = f"http://{listen}"
        self.connection = http.client.HTTPConnection(listen, timeout=600)
        with open(log, "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def wait(self):
        until = time.monotonic() + READY_SECS_MAX
        while time.monotonic() < until and self.process.poll() is None:
            try:
                return urllib.request.urlopen(self.url + "/-/ready", timeout=5).read()
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise SystemExit(f"{self.url} is not ready")

    def ask(self, query, start, end, step):
        if step:
            path, times = "query_range", {"start": start, "end": end, "step": step}
        else:
            path, times = "query", {"time": end}
        self.connection.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode({'query': query, **times})}")
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{self.url}: {query}: {body[:500]}")
        return body

    def measure(self, queries, times):
        """One query after another; gives the last answer."""
        cpu, wall = self.cpu(), time.monotonic()
        for query in queries:
            body = self.ask(query, *times)
        return self.cpu() - cpu, time.monotonic() - wall, body

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder, services, first, end, step):
    """Both programs on the same samples, imported day by day."""
    config = os.path.join(folder, "empty.yml")
    with open(config, "w") as out:
        out.write("global: {}\n")
    ours, theirs = os.path.join(folder, "ours"), os.path.join(folder, "theirs")
    quiet = {"stdout": subprocess.DEVNULL}
    for day in range(first // 86400, end // 86400 + 1):
        slots = range(max(first, day * 86400) // step, min(end + step, (day + 1) * 86400) // step)
        text = os.path.join(folder, "samples.om")
        write(text, services, slots, step)
        subprocess.check_call([ALMENARA, "store", "import", "--storage.path", ours, text], **quiet)
        promtool = [os.path.join(PEERS, "promtool"), "tsdb", "create-blocks-from", "openmetrics", text, theirs]
        subprocess.check_call(promtool, **quiet)
        os.remove(text)
    servers = {}
    listen = f"127.0.0.1:{free_port()}"
    command = [ALMENARA, "serve", "--config.file", config, "--web.listen-address", listen, "--storage.path", ours]
    servers["almenara"] = Server([*command, "--storage.tsdb.retention.time", "400d"], listen, os.path.join(folder, "ours.log"))
    listen = f"127.0.0.1:{free_port()}"
    command = [os.path.join(PEERS, "prometheus"), "--config.file", config, "--web.listen-address", listen]
    command += ["--storage.tsdb.path", theirs, "--storage.tsdb.retention.time", "400d"]
    servers["prometheus"] = Server(command, listen, os.path.join(folder, "theirs.log"))
    try:
        for server in servers.values():
            server.wait()
    except BaseException:
        stop(servers)
        raise
    return servers


def stop(servers):
    for server in servers.values():
        server.stop()


def points(body):
    rows = json.loads(body)["data"]["result"]
    return {json.dumps(row["metric"], sort_keys=True): row.get("values") or [row["value"]] for row in rows}


def is_same(ours, theirs):
    ours, theirs = points(ours), points(theirs)
    if ours.keys() != theirs.keys():
        return False
    for key, values in ours.items():
        others = theirs[key]
        if [at for at, _ in values] != [at for at, _ in others]:
            return False
        pairs = ((float(a), float(b)) for (_, a), (_, b) in zip(values, others))
        if not all(math.isclose(a, b, rel_tol=1e-9) or (a != a and b != b) for a, b in pairs):
            return False
    return True


def compare(servers, questions, times):
    """Each question is a list of queries."""
    all_same = True
    start, end, step = times
    count = RUNS if step else RUNS * 10
    for queries in questions:
        query = queries[0] if len(queries) == 1 else f"{len(queries)} queries, the first: {queries[0]}"
        found = {}
        for name, server in servers.items():
            # The first one is to find code and data in memory.
            server.measure(queries, (start, end, step))
            shifts = [30 * (run + 1) for run in range(count)]
            found[name] = [server.measure(queries, (start + shift, end + shift, step)) for shift in shifts]
        bodies = [runs[0][2] for runs in found.values()]
        same = is_same(*bodies)
        all_same &= same
        cells = []
        for name, runs in found.items():
            # The system counts processor time in steps, which only add up over all runs.
            cpu = sum(run[0] for run in runs) / len(runs) * 1e3
            wall = statistics.median(run[1] for run in runs) * 1e3
            walls = sorted(run[1] * 1e3 for run in runs)
            cells.append((name, cpu, wall, walls[0], walls[-1]))
        ratios = [cells[1][index] / max(cells[0][index], 1000 / TICK / count if index == 1 else 1e-3) for index in (1, 2)]
        print(query + ("" if same else "   ANSWERS DIFFER"))
        for name, cpu, wall, least, most in cells:
            print(f"    {name:12} cpu {cpu:9.2f} ms   wall {wall:9.2f} ms ({least:.2f} to {most:.2f})")
        print(f"    cpu {ratios[0]:.1f} times, wall {ratios[1]:.1f} times", flush=True)
    return all_same


def run(name, services, step, seconds, asked):
    """`asked`: lists of questions, each with the step of the range that they are asked for, or `None`."""
    with tempfile.TemporaryDirectory() as folder:
        # So many runs, each a bit later, find samples.
        room = 3600 if step == 15 else 7200
        end = int(time.time()) // 86400 * 86400
        first = end - seconds - room
        servers = start(folder, services, first, end, step)
        end -= room - 600
        same = True
        try:
            for questions, query_step in asked:
                at = f"at {query_step} s" if query_step else "as one window"
                print(f"{name}: {services * 100} series, {seconds} s {at}")
                same &= compare(servers, questions, (end - seconds, end, query_step))
        finally:
            stop(servers)
        return same


if __name__ == "__main__":
    each = lambda queries: [[query] for query in queries]
    same = run("hour", SERIES // 100, 15, 3600, [(each(HOUR), 15)])
    same &= run("month", 5, 30, DAYS * 86400, [(INSTANTS, None), (each(MONTH), 3600)])
    sys.exit(0 if same else 1)
