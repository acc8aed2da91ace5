"""The servers under test: how each is built, started and ended."""

import contextlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections import namedtuple
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "target" / "bench-peers"

USERNAME, PASSWORD = "alice", "alice-password-of-a-bench"
TLS_PORT_ABOVE = 1

# A server that listens later than this does not listen.
LISTENS_S = 15
# One that has not ended so long after it was told to is killed.
ENDS_S = 5

# kind: of which family. plain: it knows no TURN. streams: it has TCP and TLS. number: of its address.
Target = namedtuple("Target", "name plain streams number command")
# Where a server stands: its files, and the address with UDP and TCP at `port`, TLS at the one above.
Place = namedtuple("Place", "folder address port")


class Failed(Exception):
    """A server or a load that did not do its part, and why."""


class Server:
    """A running one."""

    def __init__(self, target, process, place):
        self.target, self.process, self.place = target, process, place
        self.pid = process.pid

    def bench_target(self, transport):
        port = self.place.port + (TLS_PORT_ABOVE if transport == "tls" else 0)
        plain = ",plain" if self.target.plain else ""
        return f"{self.target.name}={self.place.address}:{port},pid={self.pid}{plain}"


def targets(options):
    """All of them by name. Ratios are of `turnstone` to each other one."""
    def forwarder(mode):
        return lambda place: [OUT / "forwarder", mode, place.address, str(place.port)]

    def turn_crate(place):
        binary = OUT / "rivals" / "release" / "turn-crate-server"
        return [binary, place.address, str(place.port), USERNAME, PASSWORD]

    def coturn(place):
        return [coturn_binary(), "-c", written(place, "turnserver.conf", coturn_config(place))]

    def turnstone(binary):
        return lambda place: [binary, "run", "--config", written(place, "turnstone.toml", turnstone_config(place))]

    known = [
        Target("forwarder", True, False, 0, forwarder("--plain")),
        Target("gro-forwarder", True, False, 1, forwarder("--gro")),
        Target("turn-crate", False, False, 2, turn_crate),
        Target("coturn", False, True, 3, coturn),
        Target("turnstone", False, True, 4, turnstone(turnstone_binary(options))),
    ]
    if options.before:
        known.append(Target("before", False, True, 5, turnstone(options.before.absolute())))
    return {target.name: target for target in known}


def coturn_binary():
    return os.environ.get("TURNSERVER", "turnserver")


def turnstone_binary(options):
    return (options.turnstone or ROOT / "target" / "release" / "turnstone").absolute()


def load_binary(options):
    return options.load.absolute() if options.load else turnstone_binary(options)


def written(place, name, text):
    path = place.folder / name
    path.write_text(text)
    return path


def turnstone_config(place):
    """One worker, and no limit in the way of ten thousand allocations of one user at one address."""
    return f"""
[[listen]]
address = "{place.address}:{place.port}"
transports = ["udp", "tcp"]

[[listen]]
address = "{place.address}:{place.port + TLS_PORT_ABOVE}"
transports = ["tls"]

[tls]
mode = "files"
cert = "{place.folder}/cert.pem"
key = "{place.folder}/key.pem"

[relay]
addresses = ["{place.address}"]
ports = "10000-31999"
workers = 1
port_quarantine = "1s"

[relay.peers]
allow = ["127.0.0.0/8", "10.0.0.0/8"]

[auth.users]
{USERNAME} = "{PASSWORD}"

[limits]
allocations_per_user = 0
connections_per_source = 0
new_peers_per_second = "off"
unauthenticated_replies = "100000/s"

[http]
public = "off"
admin = "off"

[signaling]
enabled = false

[storage]
path = "{place.folder}/state"

[admin]
socket = "{place.folder}/admin.sock"

[log]
level = "warn"
"""


def coturn_config(place):
    """One relay thread, no log, and nothing switched on that costs and that the others do not have."""
    return f"""
listening-ip={place.address}
listening-port={place.port}
tls-listening-port={place.port + TLS_PORT_ABOVE}
relay-ip={place.address}
min-port=10000
max-port=31999
relay-threads=1
lt-cred-mech
realm=turn
user={USERNAME}:{PASSWORD}
userdb={place.folder}/turndb
cert={place.folder}/cert.pem
pkey={place.folder}/key.pem
no-tlsv1
no-tlsv1_1
no-dtls
allow-loopback-peers
no-tcp-relay
no-cli
no-software-attribute
log-file=/dev/null
simple-log
no-stdout-log
pidfile={place.folder}/pid
"""


def build(options, names):
    """Builds what these targets need; ends the run when that fails."""
    OUT.mkdir(parents=True, exist_ok=True)
    run = lambda *command, cwd=ROOT: subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    needed = ["cc"] * bool(names & {"forwarder", "gro-forwarder"}) + ["openssl", "taskset"]
    missing = [tool for tool in needed if not shutil.which(tool)]
    if "coturn" in names and not shutil.which(coturn_binary()):
        missing.append(f"{coturn_binary()} (coturn; TURNSERVER may name another path)")
    if missing:
        raise Failed(f"not installed: {', '.join(missing)}")
    if names & {"forwarder", "gro-forwarder"}:
        run("cc", "-O2", "-Wall", "-Wextra", "-o", OUT / "forwarder", HERE / "forwarder.c")
    if "turn-crate" in names:
        run("cargo", "build", "--quiet", "--release", "--locked", "--target-dir", OUT / "rivals", cwd=HERE / "rivals")
    if not options.turnstone:
        run("cargo", "build", "--quiet", "--release", "--locked", "--bin", "turnstone")


@contextlib.contextmanager
def running(chosen, network, options):
    """These servers on their core, open for clients; they end with the block. Answers with them by name."""
    with contextlib.ExitStack() as ends:
        yield {target.name: ends.enter_context(one_running(target, network, options)) for target in chosen}


@contextlib.contextmanager
def one_running(target, network, options):
    with tempfile.TemporaryDirectory(prefix="turnstone-peers-") as folder, open(Path(folder, "told"), "w+") as told:
        address = network.server_address(target.number)
        place = Place(Path(folder), address, network.free_port(address))
        if target.streams:
            make_certificate(place)
        pinned = ["taskset", "--cpu-list", str(options.server_core)]
        command = [*network.beside_servers(), *pinned, *target.command(place)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=told, stderr=told)
        try:
            wait_until_it_listens(target, process, place)
            yield Server(target, process, place)
        except Failed as failure:
            ended = "" if process.poll() is None else f"; {target.name} ended with {process.returncode}"
            told.seek(0)
            said = told.read().strip()
            raise Failed(f"{failure}{ended}" + (f"\n{target.name}: {said[-2000:]}" if said else "")) from None
        finally:
            end(process)


def end(process):
    process.terminate()
    try:
        process.wait(ENDS_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def make_certificate(place):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-days", "365", "-subj", "/CN=bench", "-addext", f"subjectAltName=IP:{place.address}",
               "-keyout", place.folder / "key.pem", "-out", place.folder / "cert.pem"]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def wait_until_it_listens(target, process, place):
    doors = [("udp", place.port)]
    if target.streams:
        doors += [("tcp", place.port), ("tcp", place.port + TLS_PORT_ABOVE)]
    begin = time.monotonic()
    while not all(listens(process.pid, place.address, *door) for door in doors):
        if process.poll() is not None:
            raise Failed(f"{target.name} did not start")
        if time.monotonic() - begin > LISTENS_S:
            raise Failed(f"{target.name} at {place.address}:{place.port} was not open after {LISTENS_S} s")
        time.sleep(0.05)


def listens(pid, address, transport, port):
    """As the namespace of this process sees it, without a packet to it."""
    octets = "".join(f"{int(octet):02X}" for octet in reversed(address.split(".")))
    try:
        lines = Path(f"/proc/{pid}/net/{transport}").read_text().splitlines()
    except OSError:
        return False
    rows = [line.split() for line in lines[1:]]
    return any(row[1] == f"{octets}:{port:04X}" and row[3] in ["07", "0A"] for row in rows)


def versions(options, names, networks):
    """What a reader has to know about the machine and the servers."""
    told = {"kernel": platform.release(), "cpu": cpu_model(), "cores": os.cpu_count(),
            "servers on core": options.server_core, "load on core": options.load_core,
            "load average": " ".join(f"{load:.1f}" for load in os.getloadavg()),
            "network": ", and ".join(network.described for network in networks),
            "turnstone": " ".join([first_line(turnstone_binary(options), "version").removeprefix("turnstone "),
                                   *([] if options.turnstone else ["at", commit()])])}
    if "coturn" in names:
        told["coturn"] = first_line(coturn_binary(), "--version")
    if "turn-crate" in names:
        told["turn crate"] = locked_crate("turn")
    told["rustc"] = first_line("rustc", "--version").removeprefix("rustc ")
    told["cc"] = first_line("cc", "--version")
    return told


def commit():
    return first_line("git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=10")


def cpu_model():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def first_line(*command):
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return ended.stdout.split("\n")[0].strip() or "unknown"


def locked_crate(name):
    lines = (HERE / "rivals" / "Cargo.lock").read_text().splitlines()
    return lines[lines.index(f'name = "{name}"') + 1].split('"')[1]
