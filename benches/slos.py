#!/usr/bin/env python3
"""Measures objectives of Almenara beside a Prometheus that evaluates the rules which Sloth makes of them: processor time a cycle, and memory.

usage: benches/slos.py [ALMENARA [FOLDER_OF_PEERS]]    (a release build; prometheus and promtool as .ci/peers unpacks them)

SLOS (1000) objectives of errors with the default tiers, over four counters each. Both import DAYS (3) of samples at 30 s, scrape the same exporter
each 30 s, and evaluate each 30 s: here the windows of 5m 30m 1h 2h 6h 1d 3d 30d, there seventeen rules an objective, in which 30d is a mean of
what 5m was. After the first evaluations CYCLES (6) are measured. Then the budgets are compared: figures over 3d of both. With INDICATOR=queried the
objectives are queries, asked once for each window, instead of counters; WINDOW (30d) is that of their budgets.
Network traffic is on loopback; only what was started here is ended.
"""
import http.server, json, os, subprocess, sys, tempfile, threading, time, urllib.parse, urllib.request
from queries import ALMENARA, PEERS, Server, free_port

SLOS = int(os.environ.get("SLOS", "1000"))
DAYS = int(os.environ.get("DAYS", "3"))
CYCLES = int(os.environ.get("CYCLES", "6"))
IS_QUERIED = os.environ.get("INDICATOR", "counted") == "queried"
WINDOW = os.environ.get("WINDOW", "30d")
STEP = 30
CODES = ("200", "404", "500", "503")
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
# Severity, then factor, long and short window of its two conditions.
TIERS = (("page", (14.4, "1h", "5m"), (6, "6h", "30m")), ("ticket", (3, "1d", "2h"), (1, "3d", "6h")))
OBJECTIVE = 99.9


def value(number, code, slot):
    """A counter that grows by at least one a slot; one request in a thousand fails, of every twentieth objective one in fifty."""
    slope = {"200": 20_000, "404": 100, "500": 400 if number % 20 == 0 else 15, "503": 5}[code]
    return slot * slope // 100 + (slot * 7919 + number * 31) % 8


def lines(number, code, port, slots, stamp):
    head = f'http_requests_total{{service="svc{number:04}",code="{code}"'
    head += f',job="shop",instance="127.0.0.1:{port}"}} ' if stamp else "} "
    return (f"{head}{value(number, code, slot)}{f' {slot * STEP}' if stamp else ''}\n" for slot in slots)


class Exporter(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        slot = int(time.time()) // STEP
        pages = (lines(number, code, 0, [slot], False) for number in range(SLOS) for code in CODES)
        body = "".join(line for page in pages for line in page).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def total(number):
    return f'http_requests_total{{service="svc{number:04}"}}'


def bad(number):
    return f'http_requests_total{{service="svc{number:04}",code=~"5.."}}'


def write_objectives(path):
    with open(path, "w") as out:
        out.write("slos:\n")
        for number in range(SLOS):
            out.write(f"- name: requests-{number:04}\n  service: svc{number:04}\n  objective: {OBJECTIVE}\n  window: {WINDOW}\n")
            kind, part, all_of = "errors", bad(number), total(number)
            if IS_QUERIED:
                kind, part, all_of = "events", f"sum(rate({part}[$window]))", f"sum(rate({all_of}[$window]))"
            out.write(f"  indicator: {{{kind}: {{bad: '{part}', total: '{all_of}'}}}}\n")


def write_rules(path):
    """The rules that Sloth makes of an objective: ratios of all windows, what is known of it, two alerts."""
    budget = f"(1-{OBJECTIVE / 100:.4f})"
    with open(path, "w") as out:
        out.write("groups:\n")
        for number in range(SLOS):
            names = f'sloth_id="svc{number:04}-requests",sloth_service="svc{number:04}",sloth_slo="requests"'
            labels = "{sloth_id: svc%04d-requests, sloth_service: svc%04d, sloth_slo: requests%s}"

            def rule(name, expr, more=""):
                out.write(f"  - record: {name}\n    expr: '{expr}'\n    labels: {labels % (number, number, more)}\n")

            out.write(f"- name: ratios-{number:04}\n  rules:\n")
            for window in WINDOWS:
                expr = f"sum(rate({bad(number)}[{window}])) / sum(rate({total(number)}[{window}]))"
                rule(f"slo:sli_error:ratio_rate{window}", expr, f", sloth_window: {window}")
            short = f"slo:sli_error:ratio_rate5m{{{names}}}[30d]"
            rule("slo:sli_error:ratio_rate30d", f"sum_over_time({short}) / count_over_time({short})", ", sloth_window: 30d")
            out.write(f"- name: meta-{number:04}\n  rules:\n")
            rule("slo:objective:ratio", f"vector({OBJECTIVE / 100:.4f})")
            rule("slo:error_budget:ratio", f"vector(1-{OBJECTIVE / 100:.4f})")
            rule("slo:time_period:days", "vector(30)")
            on = "/ on(sloth_id, sloth_slo, sloth_service) group_left slo:error_budget:ratio{" + names + "}"
            rule("slo:current_burn_rate:ratio", f"slo:sli_error:ratio_rate5m{{{names}}} {on}")
            rule("slo:period_burn_rate:ratio", f"slo:sli_error:ratio_rate30d{{{names}}} {on}")
            rule("slo:period_error_budget_remaining:ratio", f"1 - slo:period_burn_rate:ratio{{{names}}}")
            rule("sloth_slo_info", "vector(1)", f', sloth_objective: "{OBJECTIVE}"')
            out.write(f"- name: alerts-{number:04}\n  rules:\n")
            for severity, *tiers in TIERS:
                above = [
                    f"(max(slo:sli_error:ratio_rate{short}{{{names}}} > ({factor} * {budget})) without (sloth_window)"
                    f" and max(slo:sli_error:ratio_rate{long}{{{names}}} > ({factor} * {budget})) without (sloth_window))"
                    for factor, long, short in tiers
                ]
                out.write(f"  - alert: Burn\n    expr: '{' or '.join(above)}'\n    labels: {{sloth_severity: {severity}}}\n")


def load(folder, port, end):
    """Imports the same samples into both, a third of a day at a time."""
    ours, theirs = os.path.join(folder, "ours"), os.path.join(folder, "theirs")
    text, piece = os.path.join(folder, "samples.om"), 86400 // 3 // STEP
    first = int(end - DAYS * 86400) // STEP
    for start in range(first, end // STEP, piece):
        slots = range(start, min(start + piece, end // STEP))
        with open(text, "w") as out:
            for number in range(SLOS):
                for code in CODES:
                    out.writelines(lines(number, code, port, slots, True))
            out.write("# EOF\n")
        promtool = [os.path.join(PEERS, "promtool"), "tsdb", "create-blocks-from", "openmetrics", text, theirs]
        for command in ([ALMENARA, "store", "import", "--storage.path", ours, text], promtool):
            subprocess.check_call(command, stdout=subprocess.DEVNULL)
    os.remove(text)
    return ours, theirs


def configure(folder, port):
    scrape = f"global: {{scrape_interval: {STEP}s, evaluation_interval: {STEP}s}}\n"
    scrape += f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    for name, more in (("ours.yml", "slo_files: [objectives.yml]\n"), ("theirs.yml", "rule_files: [rules.yml]\n")):
        with open(os.path.join(folder, name), "w") as out:
            out.write(scrape + more)
    write_objectives(os.path.join(folder, "objectives.yml"))
    write_rules(os.path.join(folder, "rules.yml"))


def rss_mib(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def query(server, text):
    with urllib.request.urlopen(f"{server.url}/api/v1/query?{urllib.parse.urlencode({'query': text})}", timeout=60) as answer:
        return json.loads(answer.read())["data"]["result"]


def missed(server):
    with urllib.request.urlopen(server.url + "/metrics", timeout=60) as page:
        of_groups = [line for line in page.read().decode().splitlines() if line.startswith("prometheus_rule_group_iterations_missed_total")]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in of_groups)


def main():
    with tempfile.TemporaryDirectory() as folder:
        exporter = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
        port = exporter.server_address[1]
        threading.Thread(target=exporter.serve_forever, daemon=True).start()
        configure(folder, port)
        ours, theirs = load(folder, port, int(time.time()))
        servers = {}
        try:
            listen = f"127.0.0.1:{free_port()}"
            command = [ALMENARA, "serve", "--config.file", os.path.join(folder, "ours.yml"), "--web.listen-address", listen]
            servers["almenara"] = Server([*command, "--storage.path", ours], listen, os.path.join(folder, "ours.log"))
            listen = f"127.0.0.1:{free_port()}"
            command = [os.path.join(PEERS, "prometheus"), "--config.file", os.path.join(folder, "theirs.yml")]
            command += ["--web.listen-address", listen, "--storage.tsdb.path", theirs, "--storage.tsdb.retention.time", "400d"]
            servers["prometheus"] = Server(command, listen, os.path.join(folder, "theirs.log"))
            for server in servers.values():
                server.wait()
            time.sleep(3 * STEP)
            print(f"{SLOS} objectives, {DAYS:g} days of {4 * SLOS} series at {STEP} s; start and first evaluations: "
                  + ", ".join(f"{name} {server.cpu():.2f} s" for name, server in servers.items()), flush=True)
            before = {name: server.cpu() for name, server in servers.items()}
            time.sleep(CYCLES * STEP)
            cycle = {name: (server.cpu() - before[name]) / CYCLES for name, server in servers.items()}
            for name, server in servers.items():
                print(f"    {name:12} {cycle[name]:8.4f} s of processor time a cycle, {rss_mib(server):7.1f} MiB", flush=True)
            print(f"    {cycle['prometheus'] / cycle['almenara']:.1f} times less")
            for name, server in servers.items():
                print(f"    {name:12} has missed {missed(server)} evaluations")
            agree(servers)
        finally:
            for server in servers.values():
                server.stop()
            exporter.shutdown()


def agree(servers):
    """The error ratio over three days of both: rates extrapolate, so that they are near each other, not equal."""
    ratio = 'almenara_slo_error_ratio{window="3d"}'
    ours = {row["metric"]["service"]: float(row["value"][1]) for row in query(servers["almenara"], ratio)}
    rows = query(servers["prometheus"], "slo:sli_error:ratio_rate3d")
    theirs = {row["metric"]["sloth_service"]: float(row["value"][1]) for row in rows}
    both = ours.keys() & theirs.keys()
    worst = max(abs(ours[name] / theirs[name] - 1) for name in both) if both else float("nan")
    print(f"    error ratio over 3d of {len(both)} objectives: at most {worst:.4%} apart")


main()
