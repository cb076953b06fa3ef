"""The recording rules and alerts over many simulated nodes in a real Prometheus: what they take, and how many series there are.

    python3 benches/rules.py [--targets 1000] [--minutes 12] [--containers 30] [--json FILE]

Needs `prometheus` in PATH (`make tools`) and nothing else. The nodes have the families and labels of docs/metrics.md; a node has
eight GPUs, every minute one of its containers ends and another begins, and every tenth node has two batch jobs.
"""

import argparse
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

RULES = Path(__file__).resolve().parents[1] / "deploy/prometheus/rules"
INTERVAL = 30
LEVELS = ("node", "gpu", "namespace", "workload", "job", "model", "cluster", "zone")
BEGUN = time.time()
# Grams a joule at 300 g/kWh and a PUE of 1.2.
GRAMS = 300 * 1.2 / 3.6e6
DOMAINS = (("package", 180.0), ("dram", 30.0))
KINDS = ("container", "unit", "job", "vm", "system", "idle", "unattributed")


def labelled(name, labels):
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


class Node:
    """One target: lines that stay, and counters that grow by so much a second."""

    def __init__(self, number, containers):
        self.number, self.fixed, self.growing = number, [], []
        self.node()
        for card in range(8):
            self.card(card)
        for each in range(containers):
            # A deployment has pods on about ten nodes, as in a cluster of services.
            self.container(f"{number:06x}{each:06x}", f"team-{each % 20}", f"app-{each}-{number // 10}", card=each if each < 8 else None)
        if number % 10 == 0:
            for each in range(2):
                self.job(str(number * 10 + each))
        for each in range(20):
            labels = {"pid": 1000 + each, "comm": "worker", "container_id": f"{number:06x}{each:06x}", "unit": "", "component": "cpu"}
            self.hold("wattprint_process_power_watts", 2.0, labels)
            self.grow("wattprint_process_energy_joules_total", 2.0, {**labels, "state": "active"})

    def hold(self, name, value, labels=()):
        self.fixed.append(f"{labelled(name, dict(labels))} {value}\n")

    def grow(self, name, rate, labels=()):
        self.growing.append((labelled(name, dict(labels)), rate))

    def node(self):
        self.hold("wattprint_build_info", 1, {"version": "0.1.0", "arch": "x86_64", "os": "linux"})
        self.hold("process_start_time_seconds", round(BEGUN - 60, 3))
        self.hold("process_resident_memory_bytes", 1.6e7)
        self.grow("process_cpu_seconds_total", 0.01)
        for component, watts in (("cpu", 180.0), ("dram", 30.0), ("gpu", 3200.0)):
            own = {"component": component}
            self.grow("wattprint_node_energy_joules_total", watts, own)
            self.hold("wattprint_node_power_watts", watts, own)
            self.grow("wattprint_node_emissions_grams_total", watts * GRAMS, own)
            for kind in KINDS:
                self.grow("wattprint_node_owner_energy_joules_total", watts / len(KINDS), {**own, "kind": kind})
            for reason in ("no_evidence", "outage", "unknown_process"):
                self.grow("wattprint_unattributed_energy_joules_total", 0.01, {**own, "reason": reason})
        for domain, watts in DOMAINS:
            meter = {"meter": "rapl", "domain": domain, "device": "0"}
            self.meter(meter, watts)
        zone = f"Z{self.number % 3}"
        factor = {"grid_zone": zone, "provider": "relay", "basis": "lifecycle", "quality": "measured"}
        self.hold("wattprint_grid_carbon_intensity_grams_per_kwh", 300, factor)
        self.hold("wattprint_grid_carbon_intensity_age_seconds", 120)
        self.hold("wattprint_pue_ratio", 1.2)
        self.hold("wattprint_pue_configured", 1)
        for hour in range(25):
            self.hold("wattprint_grid_forecast_grams_per_kwh", 250 + hour, {"hours_ahead": hour})
        for hours in (1, 2, 4, 8, 12, 24):
            self.hold("wattprint_grid_best_window_start_timestamp_seconds", int(BEGUN), {"hours": hours})
            self.hold("wattprint_grid_best_window_grams_per_kwh", 200, {"hours": hours})
        for collector in ("cgroup", "process", "rapl", "hwmon", "nvml", "drm", "grid", "kubernetes", "podresources", "containers"):
            self.hold("wattprint_collector_success", 1, {"collector": collector})
            self.hold("wattprint_collector_duration_seconds", 0.001, {"collector": collector})
        self.hold("wattprint_sample_duration_seconds", 0.01)
        for unit in range(12):
            own = {"unit": f"service-{unit}.service", "component": "cpu"}
            self.grow("wattprint_unit_energy_joules_total", 0.5, {**own, "state": "active"})
            self.hold("wattprint_unit_power_watts", 0.5, own)
            self.grow("wattprint_unit_emissions_grams_total", 0.5 * GRAMS, own)

    def meter(self, meter, watts):
        self.grow("wattprint_meter_energy_joules_total", watts, meter)
        self.hold("wattprint_meter_info", 1, {**meter, "quality": "measured", "reason": "chosen: a counter"})
        for name, value in (("up", 1), ("baseline_watts", watts / 3), ("resets_total", 0), ("wraps_total", 0)):
            self.hold(f"wattprint_meter_{name}", value, meter)

    def card(self, number):
        own = {"gpu": number, "uuid": f"GPU-{self.number:08d}-{number}"}
        self.grow("wattprint_gpu_energy_joules_total", 400.0, own)
        for kind in KINDS:
            self.grow("wattprint_gpu_owner_energy_joules_total", 400.0 / len(KINDS), {**own, "kind": kind})
        for name, value in (
            ("power_watts", 400), ("utilization_ratio", 0.7), ("memory_used_bytes", 4e10), ("power_limit_watts", 700),
            ("up", 1), ("call_stuck_seconds", 0), ("errors_total", 0), ("clients", 1),
        ):  # fmt: skip
            self.hold(f"wattprint_gpu_{name}", value, own)
        info = {"model": "NVIDIA H100", "vendor": "nvidia", "pci_bus_id": f"0:{number}", "driver": "550", "mig": "off"}
        self.hold("wattprint_gpu_info", 1, {**own, **info})
        self.hold("wattprint_gpu_attribution_info", 1, {**own, "method": "exclusive"})
        self.hold("wattprint_gpu_limitation_info", 1, {**own, "what": "gpm", "reason": "not permitted"})
        self.meter({"meter": "nvml", "domain": "gpu", "device": own["uuid"]}, 400.0)

    def container(self, identity, namespace, app, card):
        own = {"namespace": namespace, "pod": f"{app}-{self.number}", "container": "main", "container_id": identity, "runtime": "containerd"}
        parts = [("cpu", "active", 4.0), ("dram", "active", 0.3), ("dram", "idle", 0.3)]
        if card is not None:
            parts += [("gpu", "active", 300.0), ("gpu", "idle", 100.0)]
            held = {"gpu": card, "uuid": f"GPU-{self.number:08d}-{card}", **own}
            self.grow("wattprint_gpu_container_energy_joules_total", 400.0, held)
            self.hold("wattprint_gpu_allocated", 1, {**held, "manager": "", "job_id": ""})
        for component, state, watts in parts:
            self.grow("wattprint_container_energy_joules_total", watts, {**own, "component": component, "state": state})
        for component in sorted({part[0] for part in parts}):
            watts = sum(part[2] for part in parts if part[0] == component)
            self.hold("wattprint_container_power_watts", watts, {**own, "component": component})
            self.grow("wattprint_container_emissions_grams_total", watts * GRAMS, {**own, "component": component})
        self.grow("wattprint_container_cpu_seconds_total", 0.3, own)
        model = {"phase": "inference", "model": f"model-{card}", "variant": "baseline"} if card is not None else {}
        info = {"image": "registry/app:1", "owner_kind": "Deployment", "owner_name": app, "node": f"node-{self.number}"}
        self.hold("wattprint_container_info", 1, {**own, **info, **model})

    def job(self, identity):
        own = {"manager": "slurm", "job_id": identity, "job_name": "train", "user": f"user-{self.number % 50}"}
        for component, watts in (("cpu", 60.0), ("dram", 5.0)):
            self.grow("wattprint_job_energy_joules_total", watts, {**own, "component": component, "state": "active"})
            self.hold("wattprint_job_power_watts", watts, {**own, "component": component})
            self.grow("wattprint_job_emissions_grams_total", watts * GRAMS, {**own, "component": component})
        self.hold("wattprint_job_info", 1, {**own, "node": f"node-{self.number}", "account": "lab", "partition": "cpu"})

    def text(self, now):
        seconds = now - BEGUN + 60
        lines = self.fixed + [f"{name} {rate * seconds:.6f}\n" for name, rate in self.growing]
        lines.append(f"wattprint_sample_timestamp_seconds {now:.3f}\n")
        # One container begins each minute, runs for one, and is kept for five more.
        minute = int(seconds // 60)
        for begun in range(minute - 5, minute + 1):
            brief = Node.__new__(Node)
            brief.number, brief.fixed, brief.growing = self.number, [], []
            brief.container(f"{self.number:06x}f{begun % 0x100000:05x}", "batch", f"task-{self.number // 10}", None)
            ran = min(60.0, seconds - begun * 60)
            lines += brief.fixed + [f"{name} {rate * ran:.6f}\n" for name, rate in brief.growing]
        return "".join(lines)


def serve(nodes):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = nodes[int(self.path.split("/")[1])].text(time.time()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    """A server with all rule files that scrapes the nodes."""

    def __init__(self, folder, targets, port):
        self.port = free_port()
        config = {
            "global": {"scrape_interval": f"{INTERVAL}s", "scrape_timeout": "20s"},
            "rule_files": [f"{RULES}/*.yml"],
            "scrape_configs": [
                {"job_name": "prometheus", "static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}]},
                {"job_name": "wattprint", "honor_labels": True, "static_configs": [
                    {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": f"node-{each}", "__metrics_path__": f"/{each}/metrics"}}
                    for each in range(targets)
                ]},
            ],
        }  # fmt: skip
        path = Path(folder) / "prometheus.yml"
        # JSON is YAML.
        path.write_text(json.dumps(config))
        with open(Path(folder) / "log", "w") as log:
            arguments = [f"--config.file={path}", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}"]
            self.child = subprocess.Popen(["prometheus", *arguments, "--log.level=warn"], stdout=log, stderr=log)

    def get(self, path, **query):
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]

    def value(self, expr):
        rows = self.get("/api/v1/query", query=expr)["result"]
        return float(rows[0]["value"][1]) if rows else 0.0

    def own(self):
        """Resident memory in bytes, and CPU seconds so far."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        stat = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks = int(stat[11]) + int(stat[12])
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024, ticks / os.sysconf("SC_CLK_TCK")


def measure(server, targets, minutes):
    end = time.time() + minutes * 60
    slowest, halfway = {}, None
    while time.time() < end:
        time.sleep(5)
        if server.child.poll() is not None:
            raise SystemExit("prometheus ended; is it 2.42 or later?")
        if halfway is None and time.time() > end - minutes * 30:
            halfway = (time.time(), server.own()[1])
        try:
            groups = server.get("/api/v1/rules")["groups"]
        except OSError:
            continue
        for group in groups:
            if time.time() > end - minutes * 30:
                slowest[group["name"]] = max(slowest.get(group["name"], 0.0), group["evaluationTime"])
    memory, cpu = server.own()
    rules = [(rule["evaluationTime"], rule["name"], rule["health"]) for group in groups for rule in group["rules"]]
    level = {name: server.value(f'count({{__name__=~"{name}:.+"}})') for name in LEVELS}
    return {
        "targets": targets,
        "minutes": minutes,
        "load_average": os.getloadavg()[0],
        "cpus": os.cpu_count(),
        "scraped": server.value('count(up{job="wattprint"} == 1)'),
        "raw_series": server.value('sum(scrape_samples_scraped{job="wattprint"})'),
        "samples_per_second": server.value("sum(rate(prometheus_tsdb_head_samples_appended_total[5m]))"),
        "head_series": server.value("prometheus_tsdb_head_series"),
        "recorded_series": level,
        "rules_that_fail": [name for _, name, health in rules if health == "err"],
        "missed_iterations": server.value("sum(prometheus_rule_group_iterations_missed_total)"),
        "group_seconds": {group["name"]: [slowest[group["name"]], group["interval"]] for group in groups},
        "slowest_rules": sorted(rules, reverse=True)[:10],
        "resident_bytes": memory,
        "cpu_cores": (cpu - halfway[1]) / (time.time() - halfway[0]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--containers", type=int, default=30)
    parser.add_argument("--json", help="also write the result here")
    given = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="wattprint-rules-")
    nodes = [Node(each, given.containers) for each in range(given.targets)]
    server = Prometheus(folder, given.targets, serve(nodes))
    try:
        result = measure(server, given.targets, given.minutes)
    finally:
        server.child.terminate()
        server.child.wait()
        shutil.rmtree(folder)
    text = json.dumps(result, indent=1)
    print(text)
    if given.json:
        Path(given.json).write_text(text + "\n")
    if result["rules_that_fail"] or result["scraped"] != given.targets:
        raise SystemExit("a rule failed, or a target wasn't scraped: the figures don't count")


if __name__ == "__main__":
    main()
