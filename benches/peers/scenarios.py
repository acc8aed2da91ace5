"""What is measured, with which targets, and what must hold."""

import contextlib
import json
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from statistics import median

import servers

# One figure of one scenario. better: "less" or "more". values: of each round by target. goals: a bound on the ratio of
# turnstone to a target; by the name "" on turnstone's figure itself. either: one met goal is enough.
Row = namedtuple("Row", "scenario figure digits better values goals either", defaults=[False])

# net: where it is measured unless told otherwise. targets: beside turnstone. measure: from a Bench to rows.
Scenario = namedtuple("Scenario", "name net targets question measure")

CALLS = 100
SMALL, LARGE = 160, 1200
MANY = 10_000

# Descriptors of each in the load.
CLIENT_AND_PEER = 2

# What a bench may need beyond its rounds: 10,000 allocations take most of it.
SETS_UP_S = 120
# A flood ends as soon as it is told to.
FLOOD_ENDS_S = 10


class Bench:
    """Runs `turnstone bench` against the servers of one scenario, and keeps what it told."""

    def __init__(self, scenario, targets, network, options):
        self.scenario, self.targets, self.network, self.options = scenario, targets, network, options
        self.running = {}
        self.told = []

    @contextlib.contextmanager
    def started(self, *names):
        """Starts these servers, or all of them. Anew for each run where several follow each other: a client of the next
        one may get the port of a former client, whose allocation not every server forgets at once."""
        chosen = [target for target in self.targets if not names or target.name in names]
        with servers.running(chosen, self.network, self.options) as self.running:
            yield self.running

    def relay(self, *arguments, rounds=None, clients=CALLS, label=""):
        """Rounds of each target by its name. `label`: what sets this run apart from others of the scenario."""
        options = self.options
        timing = ["--rounds", rounds or options.rounds, "--seconds", options.seconds, "--warm-up", options.warm_up]
        answer = self.run("relay", *timing, "--clients", self.at_most(clients), *arguments, label=label)
        return {target["name"]: target["rounds"] for target in answer["targets"]}

    def relay_alone(self, name, *arguments, clients=CALLS, label=""):
        """The one round of a server that starts for it."""
        with self.started(name):
            return self.relay(*arguments, rounds=1, clients=clients, label=label)[name][0]

    def allocate(self, count):
        """Rounds of each target. All of them have their clients at the same time, which share what there is for one."""
        count = min(count, CLIENT_AND_PEER * self.options.clients_max // len(self.running))
        answer = self.run("allocate", "--count", count, "--rounds", self.options.rounds, label=f"{count} allocations")
        return {target["name"]: target["rounds"] for target in answer["targets"]}

    def run(self, verb, *arguments, label):
        """What a bench printed, once it is over."""
        command = self.command(verb, *arguments)
        try:
            ended = subprocess.run(command, **PIPES, timeout=self.patience())
        except subprocess.TimeoutExpired:
            raise servers.Failed(f"the load had not ended after {self.patience():.0f} s: {shown(command)}")
        if ended.returncode != 0:
            raise servers.Failed(f"{ended.stderr.strip() or f'exit status {ended.returncode}'}: {shown(command)}")
        answer = json.loads(ended.stdout)
        self.told.append({"label": label, **answer})
        return answer

    def at_most(self, clients):
        return min(clients, self.options.clients_max)

    def command(self, verb, *arguments):
        arguments = [str(argument) for argument in arguments]
        transport = arguments[arguments.index("--transport") + 1] if "--transport" in arguments else "udp"
        aimed = [word for server in self.running.values() for word in ["--target", server.bench_target(transport)]]
        who = ["--username", servers.USERNAME, "--password", servers.PASSWORD]
        secured = ["--insecure"] if transport == "tls" else []
        command = [*self.beside_load(), str(servers.load_binary(self.options)), "bench", verb, *aimed]
        return [*command, *who, *secured, *arguments, "--json"]

    def beside_load(self):
        """In front of what runs where the load comes from."""
        return [*self.network.beside_load(), "taskset", "--cpu-list", str(self.options.load_core)]

    def patience(self):
        options = self.options
        rounds = len(self.running) * options.rounds * (options.seconds + options.warm_up + 3)
        return SETS_UP_S * len(self.running) + rounds


PIPES = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


def shown(command):
    return " ".join(str(word) for word in command)


def figure(rounds, of):
    return {name: [of(told) for told in each] for name, each in rounds.items()}


def cpu_us(told):
    return told["cpu_us_per_packet"]


def per_cpu_second(told):
    return told["delivered"] / max(told["cpu_seconds"], 1e-9)


def small(way, goals):
    """CPU for each packet."""
    def measure(bench):
        with bench.started():
            rounds = bench.relay("--way", way, "--size", SMALL)
        return [Row(bench.scenario.name, "CPU us/packet", 2, "less", figure(rounds, cpu_us), goals)]
    return measure


def large(way, burst, goals, *arguments):
    """Gbit/s of payload, as they are and for each second of the server's CPU, which is more while that core rests."""
    def measure(bench):
        with bench.started():
            rounds = bench.relay("--way", way, "--size", LARGE, "--burst", burst, *arguments)
        bits = LARGE * 8 / 1e9
        name = bench.scenario.name
        judged = {target: each for target, each in rounds.items() if target in ["turnstone", *goals]}
        return [Row(name, "Gbit/s", 2, "more", figure(rounds, lambda told: told["packets_per_second"] * bits), goals),
                Row(name, "Gbit per CPU-second", 2, "more",
                    figure(judged, lambda told: per_cpu_second(told) * bits), goals)]
    return measure


def stream(transport, way, goals):
    """Packets for each second of CPU."""
    def measure(bench):
        with bench.started():
            rounds = bench.relay("--transport", transport, "--way", way, "--size", LARGE)
        values = figure(rounds, per_cpu_second)
        return [Row(bench.scenario.name, "packets per CPU-second", 0, "more", values, goals)]
    return measure


def many(bench):
    """The part that ten thousand allocations add. Runs of either number alternate."""
    ratios = {target.name: [] for target in bench.targets}
    way = ["--way", "up", "--size", SMALL]
    for _ in range(bench.options.rounds):
        for name in ratios:
            few, lots = (cpu_us(bench.relay_alone(name, *way, clients=clients, label=f"{clients} clients"))
                         for clients in [CALLS, bench.at_most(MANY)])
            ratios[name].append(lots / few)
    goals = {"": 1.30, "forwarder": 1.10}
    return [Row(bench.scenario.name, "CPU us/packet, of that at 100", 2, "less", ratios, goals, either=True)]


def allocate(bench):
    with bench.started():
        rounds = bench.allocate(MANY)
    name, count = bench.scenario.name, rounds["turnstone"][0]["allocated"]
    return [Row(name, "allocations per CPU-second", 0, "more",
                figure(rounds, lambda told: told["allocations_per_cpu_second"]), {"coturn": 5.0}),
            Row(name, f"bytes each of {count}", 0, "less",
                figure(rounds, lambda told: told["rss_bytes_per_allocation"]), {"": 3 * 1024})]


def delay(bench):
    """At half of what the slowest server takes at full speed."""
    way = ["--way", "both", "--size", SMALL]
    with bench.started():
        full = bench.relay(*way, rounds=1, label="full speed")
    rate = max(int(min(each[0]["packets_per_second"] for each in full.values()) / 2), 1)
    with bench.started():
        rounds = bench.relay(*way, "--rate", rate, label=f"{rate} packets/s")
    return [Row(bench.scenario.name, f"p99 us at {rate} packets/s", 0, "less",
                figure(rounds, lambda told: told["delay_us"]["p99"]), {"coturn": 1.0})]


def flood(rate, manner):
    """Paced calls alone and beside a client that sends far more than its part, each server for itself."""
    calls = CALLS - 1
    paced = ["--way", "both", "--size", SMALL, "--rate", 100 * calls]

    def measure(bench):
        risen, lost = ({target.name: [] for target in bench.targets} for _ in range(2))
        for _ in range(bench.options.rounds):
            for name in risen:
                alone = bench.relay_alone(name, *paced, clients=calls, label="alone")
                with bench.started(name) as running, flooded(bench, running[name], rate, manner):
                    beside = bench.relay(*paced, rounds=1, clients=calls, label="beside a flood")[name][0]
                risen[name].append(beside["delay_us"]["p99"] / max(alone["delay_us"]["p99"], 1e-9))
                lost[name].append(100 * beside["loss"])
        name = bench.scenario.name
        return [Row(name, "p99 us of calls, of that alone", 2, "less", risen, {"": 2.0}),
                Row(name, "loss % of calls", 3, "less", lost, {"": 0.1})]
    return measure


@contextlib.contextmanager
def flooded(bench, server, rate, manner):
    """A flood from its first packet on until the end of the block."""
    password = "plain" if server.target.plain else servers.PASSWORD
    command = [*bench.beside_load(), sys.executable, servers.HERE / "flooder.py", server.place.address,
               server.place.port, servers.USERNAME, password, bench.network.load_address, rate, manner]
    flooder = subprocess.Popen([str(word) for word in command], **{**PIPES, "stdin": subprocess.PIPE})
    try:
        if flooder.stdout.readline().strip() != "flooding":
            raise servers.Failed(f"no flood: {flooder.communicate()[1].strip()}")
        yield
        out, err = flooder.communicate(timeout=FLOOD_ENDS_S)
        if not out:
            raise servers.Failed(f"the flood ended early: {err.strip()}")
        bench.told.append({"label": "the flood", "server": server.target.name, "flood": json.loads(out)})
    except subprocess.TimeoutExpired:
        raise servers.Failed("the flood does not end")
    finally:
        servers.end(flooder)


def idle(bench):
    """CPU of a server that nobody asks for anything."""
    seconds = bench.options.idle
    with bench.started() as running:
        before = {name: cpu_s(server.pid) for name, server in running.items()}
        time.sleep(seconds)
        values = {name: [100 * (cpu_s(server.pid) - before[name]) / seconds] for name, server in running.items()}
    return [Row(bench.scenario.name, "% of a core", 3, "less", values, {"": 0.1})]


def cpu_s(pid):
    """Seconds on a core, all threads."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


UDP = ["forwarder", "turn-crate", "coturn"]
ALL = ["forwarder", "gro-forwarder", "turn-crate", "coturn"]
SMALL_GOALS = {"forwarder": 1.10, "coturn": 0.80}
EIGHT_GOALS = {"gro-forwarder": 0.88, "coturn": 4.0}
FOUR_GOALS = {"gro-forwarder": 0.88}

SCENARIOS = {scenario.name: scenario for scenario in [
    *(Scenario(f"small-{way}", "loopback", ALL, f"{SMALL} B, {CALLS} flows, no bursts, {way}", small(way, SMALL_GOALS))
      for way in ["up", "down", "both"]),
    *(Scenario(f"large-{burst}-{way}", "veth", ALL, f"{LARGE} B, {CALLS} flows, bursts of {burst}, {way}",
               large(way, burst, goals))
      for burst, goals in [(8, EIGHT_GOALS), (4, FOUR_GOALS)] for way in ["up", "down"]),
    *(Scenario(f"one-peer-{way}", "veth", ALL, f"{LARGE} B, {CALLS} flows to one peer port, bursts of 8, {way}",
               large(way, 8, EIGHT_GOALS, "--peers", "one"))
      for way in ["up", "down"]),
    *(Scenario(f"{transport}-{way}", "loopback", ["coturn"], f"{LARGE} B, {CALLS} {transport.upper()} clients, {way}",
               stream(transport, way, {"coturn": least}))
      for transport, least in [("tcp", 2.0), ("tls", 1.5)] for way in ["up", "down"]),
    Scenario("many", "loopback", ["forwarder", "coturn"], f"{SMALL} B, up: {MANY} allocations against {CALLS}", many),
    Scenario("allocate", "loopback", ["turn-crate", "coturn"], f"{MANY} allocations", allocate),
    Scenario("delay", "loopback", UDP, f"{SMALL} B, {CALLS} flows both ways at half load", delay),
    *(Scenario(f"flood-{manner}", "loopback", ["forwarder", "coturn"],
               f"{CALLS - 1} calls of 100 packets/s beside a client of {rate} that come {manner}", flood(rate, manner))
      for manner, rate in [("together", 300_000), ("apart", 100_000)]),
    Scenario("idle", "loopback", ["coturn"], "nobody comes", idle),
]}


def medians(row):
    return {name: median(values) for name, values in row.values.items() if values}
