"""Where servers and load meet: loopback, or a cable between two network namespaces."""

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import threading
from pathlib import Path

# Every name begins with this, then the id of the process that made it.
PREFIX = "turnstone-peers-"

SIOCETHTOOL = 0x8946
ETHTOOL_GGRO, ETHTOOL_SGRO = 0x2B, 0x2C
CLONE_NEWNET = 0x40000000


class Unavailable(Exception):
    """A network that cannot be had here, and why."""


class Loopback:
    """The host's own loopback. Each server has an address of it, so that no two want the same ports."""

    name = "loopback"
    described = "loopback"
    load_address = "127.0.0.1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def server_address(self, number):
        return f"127.0.0.{11 + number}"

    def free_port(self, address):
        """The first of two that are free for UDP and TCP."""
        return next(port for port in range(3478, 4478, 2) if is_free(address, port) and is_free(address, port + 1))

    def beside_servers(self):
        """What stands in front of a command that runs where servers run."""
        return []

    def beside_load(self):
        return []


class Veth:
    """Two namespaces and a veth pair, gone with the block. GRO is switched on at both ends, where a veth has it off."""

    name = "veth"
    described = "veth pair between two namespaces, MTU 1500, generic-receive-offload on at both ends"
    load_address = "10.198.18.1"

    def __init__(self):
        self.server, self.load = (f"{PREFIX}{os.getpid()}-{side}" for side in ["server", "load"])

    def __enter__(self):
        if os.geteuid() != 0:
            raise Unavailable("a veth pair needs root")
        if not shutil.which("ip"):
            raise Unavailable("a veth pair needs `ip`: apt install iproute2")
        remove_leftovers()
        try:
            for space in [self.server, self.load]:
                ip("netns", "add", space)
                ip("-n", space, "link", "set", "lo", "up")
            ip("-n", self.server, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", self.load)
            ip("-n", self.load, "address", "add", f"{self.load_address}/24", "dev", "cable")
            for number in range(16):
                ip("-n", self.server, "address", "add", f"{self.server_address(number)}/24", "dev", "cable")
            for space in [self.server, self.load]:
                ip("-n", space, "link", "set", "cable", "up")
                inside(space, lambda: switch_gro_on("cable"))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for space in [self.server, self.load]:
            if Path("/run/netns", space).exists():
                ip("netns", "del", space)

    def server_address(self, number):
        return f"10.198.18.{11 + number}"

    def free_port(self, _address):
        return 3478

    def beside_servers(self):
        return ["ip", "netns", "exec", self.server]

    def beside_load(self):
        return ["ip", "netns", "exec", self.load]


def is_free(address, port):
    try:
        for kind in [socket.SOCK_DGRAM, socket.SOCK_STREAM]:
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
                probe.bind((address, port))
        return True
    except OSError:
        return False


NETWORKS = {network.name: network for network in [Loopback, Veth]}


def remove_leftovers():
    """Namespaces of runs that were killed."""
    for path in Path("/run/netns").glob(PREFIX + "*"):
        made_by = path.name.removeprefix(PREFIX).split("-")[0]
        if not Path("/proc", made_by).exists():
            ip("netns", "del", path.name)


def ip(*arguments):
    ended = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=30)
    if ended.returncode != 0:
        raise Unavailable(f"`ip {' '.join(arguments)}`: {ended.stderr.strip()}")


def inside(space, work):
    """Runs `work` on a thread of this namespace."""
    failures = []

    def enter():
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            with open(Path("/run/netns", space)) as file:
                if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            work()
        except (OSError, Unavailable) as failure:
            failures.append(failure)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failures:
        raise Unavailable(f"{space}: {failures[0]}")


def switch_gro_on(link):
    """As `ethtool -K LINK gro on` does, which is not everywhere installed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        def ask(command, value):
            told = ctypes.create_string_buffer(struct.pack("II", command, value))
            request = struct.pack("16sP", link.encode(), ctypes.addressof(told))
            fcntl.ioctl(any_socket, SIOCETHTOOL, request)
            return struct.unpack("II", told.raw[:8])[1]
        ask(ETHTOOL_SGRO, 1)
        if not ask(ETHTOOL_GGRO, 0):
            raise Unavailable(f"{link} has no generic-receive-offload")
