"""The servers under test: how each is built, started and ended."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from collections import namedtuple
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "target" / "bench-signaling"
NODE = OUT / "node"
BINARIES = OUT / "rivals" / "release"

# Of the tokens that the sessions show; only Turnstone checks them.
SECRET = "the-secret-of-a-bench-on-loopback-00001"

# A server that listens later than this does not listen.
LISTENS_S = 15
# One that has not ended so long after it was told to is killed.
ENDS_S = 5
# Others use less than this part of the machine when it is calm.
CALM = 0.15
# It is at rest before its memory is read for the first time; Node collects its garbage in that time.
RESTS_S = 2.5

# name: in the table. family: whose ratio it is in. command: from a port and a folder to arguments.
Target = namedtuple("Target", "name family dialect command")


class Failed(Exception):
    """A server that did not do its part, and why."""


def floor(_options):
    return [Target("floor", "floor", "raw", lambda port, _: [BINARIES / "forwarder", str(port)])]


def node(_options):
    command = lambda port, _: ["node", "--expose-gc", NODE / "server.js", str(port)]
    return [Target("Socket.IO on Node", "node", "relay", command)]


def socketioxide(_options):
    """Both runtimes: ratios are taken of the one that is better for it."""
    def target(runtime, name):
        command = lambda port, _: [BINARIES / "socketioxide-server", str(port), runtime]
        return Target(name, "socketioxide", "relay", command)
    return [target("one", "socketioxide, one thread"), target("many", "socketioxide, default runtime")]


def turnstone(options):
    binary = turnstone_binary(options)

    def command(port, folder):
        config = folder / "turnstone.toml"
        config.write_text(turnstone_config(port, folder))
        return [binary, "run", "--config", config]
    return [Target(f"turnstone, {dialect}", "turnstone", dialect, command) for dialect in options.dialect]


TARGETS = {"floor": floor, "node": node, "socketioxide": socketioxide, "turnstone": turnstone}


def turnstone_binary(options):
    return (options.turnstone or ROOT / "target" / "release" / "turnstone").absolute()


def turnstone_config(port, folder):
    """No limit in the way of 2,000 users at one address; everything else as it is shipped."""
    return f"""
[server]
name = "localhost"
public_address = "127.0.0.1"

[[listen]]
address = "127.0.0.1:{free_port()}"
transports = ["udp"]

[relay]
addresses = ["127.0.0.1"]
workers = 1

[auth]
secrets = ["{SECRET}"]

[auth.jwt]
secret = "{SECRET}"

[http]
public = "127.0.0.1:{port}"
admin = "off"

[limits]
connections_per_source = 0
connections_total = 0

[storage]
path = "{folder}/state"

[admin]
socket = "{folder}/admin.sock"

[log]
level = "warn"
"""


def build(options, targets):
    """Builds what the targets need, from locked packages; ends the run when that fails."""
    BINARIES.mkdir(parents=True, exist_ok=True)
    families = {target.family for target in targets}
    run = lambda *command, cwd: subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    run("cargo", "build", "--quiet", "--release", "--locked", "--target-dir", OUT / "rivals", cwd=HERE / "rivals")
    if "node" in families:
        NODE.mkdir(exist_ok=True)
        for file in ["package.json", "package-lock.json", "server.js"]:
            shutil.copy(HERE / "node" / file, NODE)
        # The add-ons bring binaries with them, so that no package has to run a script.
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", cwd=NODE)
    if "turnstone" in families and not options.turnstone:
        run("cargo", "build", "--quiet", "--release", "--locked", "--bin", "turnstone", cwd=ROOT)


@contextlib.contextmanager
def running(target, options):
    """A server on its core and a free port, at rest; it ends with the block."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="turnstone-bench-") as folder, \
            open(Path(folder) / "told", "w+") as told:
        command = ["taskset", "--cpu-list", str(options.server_core), *target.command(port, Path(folder))]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=told, stderr=told)
        try:
            wait_until_it_listens(server, port)
            time.sleep(RESTS_S)
            yield server, port
        except Failed as failure:
            server.poll()
            ended = "" if server.returncode is None else f"; the server ended with {server.returncode}"
            told.seek(0)
            said = told.read().strip()
            raise Failed(f"{failure}{ended}" + (f"\n{said[-2000:]}" if said else "")) from None
        finally:
            end(server)


def wait_until_calm(seconds):
    """Until others have let the machine be for a second; after `seconds` without that, it goes on."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        before = idle_s()
        time.sleep(1)
        if idle_s() - before > (1 - CALM) * os.cpu_count():
            return


def idle_s():
    """Idle time of all cores since the machine began."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def wait_until_it_listens(server, port):
    begin = time.monotonic()
    while not listens(port):
        if server.poll() is not None:
            raise Failed("it did not start")
        if time.monotonic() - begin > LISTENS_S:
            raise Failed(f"127.0.0.1:{port} was not open after {LISTENS_S} s")
        time.sleep(0.05)


def listens(port):
    """Without a connection to it: the forwarder pairs connections by their order."""
    wanted = f"0100007F:{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return any(row[1] == wanted and row[3] == "0A" for row in rows)


def end(server):
    server.terminate()
    try:
        server.wait(ENDS_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def users(count):
    """Lines of `ID TOKEN`: tokens signed with HS256 that hold for an hour."""
    expires = int(time.time()) + 3600
    return "".join(f"user-{number:05} {token(f'user-{number:05}', expires)}\n" for number in range(count))


def token(subject, expires):
    part = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    compact = lambda value: json.dumps(value, separators=(",", ":")).encode()
    signed = part(compact({"alg": "HS256", "typ": "JWT"})) + "." + part(compact({"sub": subject, "exp": expires}))
    return signed + "." + part(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))


def versions(options):
    """What a reader has to know about the machine and the servers."""
    told = {"kernel": platform.release(), "cpu": cpu_model(), "cores": os.cpu_count(),
            "load average": " ".join(f"{load:.1f}" for load in os.getloadavg()),
            "rustc": first_line("rustc", "--version").removeprefix("rustc ")}
    if "turnstone" in options.targets:
        told["turnstone"] = first_line(turnstone_binary(options), "version").removeprefix("turnstone ")
    if "node" in options.targets:
        told["node"] = first_line("node", "--version")
        packages = json.loads((HERE / "node" / "package-lock.json").read_text())["packages"]
        for name in ["socket.io", "ws", "bufferutil"]:
            told[name] = packages[f"node_modules/{name}"]["version"]
    if "socketioxide" in options.targets:
        for name in ["socketioxide", "tokio"]:
            told[name] = locked_crate(name)
    return told


def cpu_model():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[0].strip() or "unknown"
    except OSError:
        return "unknown"


def locked_crate(name):
    lines = (HERE / "rivals" / "Cargo.lock").read_text().splitlines()
    return lines[lines.index(f'name = "{name}"') + 1].split('"')[1]
