"""A network in which every address there is leads to one machine: this process, in a network namespace of its own.

    unshare --net --mount python ...    and in there:    everything_is_here(); names_come_from(folder)

So a canary on the wildcard address hears whoever connects to 127.0.0.1, to 169.254.169.254, to 10.1.2.3 or through
NAT64, and a server can have an address of the public internet, which needs no permission to be asked. `Watch` sees
every attempt to connect, to whatever port, whether anybody listens there or not.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from ctypes import addressof, create_string_buffer
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

NAME_SERVER = ("127.0.0.1", 53)

MARK = ("127.0.0.1", 9)
"""Where nobody listens: the watch connects there to see how far it has come."""

HOSTS = """\
127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
"""

# linux/rtnetlink.h, linux/if.h, linux/if_packet.h, asm/socket.h
_RTM_NEWROUTE, _NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_CREATE = 24, 1, 4, 0x400
_RT_TABLE_LOCAL, _RTPROT_BOOT, _RT_SCOPE_HOST, _RTN_LOCAL, _RTA_OIF = 255, 3, 254, 2, 4
_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x41
_IP_FREEBIND = 15
_ETH_P_ALL = 3
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _PACKET_STATISTICS = 263, 6

_A, _CNAME, _AAAA = 1, 5, 28

# The beginning of a connection, in classic BPF over the IP header: TCP with SYN and without ACK. IPv6 comes without
# extension headers from connect().
_SYN_FILTER: Sequence[tuple[int, int, int, int]] = (
    (0x30, 0, 0, 0),  # A = first byte
    (0x74, 0, 0, 4),  # A >>= 4: the version
    (0x15, 0, 5, 4),  # 4, else on to 6
    (0x30, 0, 0, 9),  # A = protocol
    (0x15, 0, 8, 6),  # TCP, else drop
    (0xB1, 0, 0, 0),  # X = length of the header
    (0x50, 0, 0, 13),  # A = flags of TCP
    (0x05, 0, 0, 3),  # on to the look at the flags
    (0x30, 0, 0, 6),  # A = next header
    (0x15, 0, 3, 6),  # TCP, else drop
    (0x30, 0, 0, 53),  # A = flags of TCP
    (0x54, 0, 0, 0x12),  # A &= SYN | ACK
    (0x15, 1, 0, 0x02),  # SYN alone: keep
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 128),  # keep so many bytes
)


def everything_is_here() -> None:
    """Make each IPv4 and IPv6 address one of this machine. Raises OSError where we may not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP_RUNNING))
    for family in (socket.AF_INET, socket.AF_INET6):
        route = struct.pack(
            "BBBBBBBBI", family, 0, 0, 0, _RT_TABLE_LOCAL, _RTPROT_BOOT, _RT_SCOPE_HOST, _RTN_LOCAL, 0
        ) + struct.pack("HHI", 8, _RTA_OIF, socket.if_nametoindex("lo"))
        flags = _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_CREATE
        message = struct.pack("IHHII", 16 + len(route), _RTM_NEWROUTE, flags, 1, 0) + route
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            kernel.send(message)
            fault: int = struct.unpack_from("i", kernel.recv(4096), 16)[0]
        if fault:
            raise OSError(-fault, f"the namespace takes no route for family {family}")


def names_come_from(folder: Path) -> None:
    """Have every program of this mount namespace ask NAME_SERVER, with only the usual names in /etc/hosts."""
    files = {
        "/etc/resolv.conf": f"nameserver {NAME_SERVER[0]}\noptions timeout:5 attempts:2\n",
        "/etc/hosts": HOSTS,
        "/etc/nsswitch.conf": "hosts: files dns\n",
    }
    for place, text in files.items():
        ours = folder / Path(place).name
        ours.write_text(text)
        subprocess.run(["mount", "--bind", ours, place], check=True)
    nothing = folder / "nothing"
    nothing.mkdir()
    for cache in (path for path in ("/run/nscd", "/var/run/nscd") if Path(path).is_dir()):
        subprocess.run(["mount", "--bind", nothing, cache], check=True)


def listen(address: str, port: int) -> socket.socket:
    """On one address beside whoever has the wildcard, or on the wildcard `::`, which stands for IPv4 too."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    else:
        listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
    listener.bind((address, port))
    listener.listen(256)
    return listener


class Watch:
    """Sees each attempt to connect on the loopback device, which is all there is."""

    def __init__(self) -> None:
        code = create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _SYN_FILTER))
        program = struct.pack("HL", len(_SYN_FILTER), addressof(code))
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        self._socket.bind(("lo", _ETH_P_ALL))
        self._seen: set[tuple[str, int, str, int]] = set()
        self._news = threading.Condition()
        threading.Thread(target=self._see, daemon=True).start()

    def connections(self) -> Counter[tuple[str, int]]:
        """How often somebody began to connect, by address and port, since the watch began. Raises when it missed some.

        A packet is seen on its way out and on its way in, and perhaps sent twice: a connection is told by both ends.
        """
        with socket.socket() as mark:
            mark.bind((MARK[0], 0))
            mark.connect_ex(MARK)
            ours = (*mark.getsockname(), *MARK)
        with self._news:
            # What was sent before it has been seen before it.
            assert self._news.wait_for(lambda: ours in self._seen, timeout=60), "the watch sees nothing"
            seen = list(self._seen)
        missed: int = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
        assert not missed, f"{missed} packets were not seen"
        return Counter((address, port) for _, _, address, port in seen if (address, port) != MARK)

    def _see(self) -> None:
        while True:
            packet = self._socket.recv(128)
            with self._news:
                self._note(packet)
                self._news.notify_all()

    def _note(self, packet: bytes) -> None:
        caller: IPv4Address | IPv6Address
        called: IPv4Address | IPv6Address
        if packet[0] >> 4 == 4:
            caller, called, ports = IPv4Address(packet[12:16]), IPv4Address(packet[16:20]), 4 * (packet[0] & 15)
        else:
            caller, called, ports = IPv6Address(packet[8:24]), IPv6Address(packet[24:40]), 40
        source, target = struct.unpack_from("!HH", packet, ports)
        self._seen.add((str(caller), source, str(called), target))


@dataclass
class NameServer:
    """Answers over UDP, as a resolver that has done all the work does; what is not in `zone` does not exist.

    A name has one answer, or several: then each next question of the same type gets the next, and the last one stays.
    An answer is a list of addresses, or of an alias (`=other.example`) followed by its addresses.
    """

    zone: Mapping[str, Sequence[Sequence[str]]]
    asked: list[tuple[str, str]] = field(default_factory=list)  # name and type

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(NAME_SERVER)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            question, caller = self._socket.recvfrom(4096)
            self._socket.sendto(self._answer(question), caller)

    def _answer(self, question: bytes) -> bytes:
        labels, at = [], 12
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
            at += 1 + length
        name, kind = ".".join(labels), struct.unpack_from("!H", question, at + 1)[0]
        self.asked.append((name, {_A: "A", _AAAA: "AAAA"}.get(kind, str(kind))))
        answers = self.zone.get(name)
        records = []
        if answers is not None:
            times = self.asked.count(self.asked[-1])
            owner = b"\xc0\x0c"  # the name of the question
            for text in answers[min(times, len(answers)) - 1]:
                if text.startswith("="):
                    alias = _written(text[1:])
                    records.append(_record(owner, _CNAME, alias))
                    owner = alias
                elif (ip_address(text).version == 4) == (kind == _A) and kind in (_A, _AAAA):
                    records.append(_record(owner, kind, ip_address(text).packed))
        flags = 0x8180 if answers is not None else 0x8183
        head = question[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        return head + question[12 : at + 5] + b"".join(records)


def _written(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _record(owner: bytes, kind: int, data: bytes) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, 0, len(data)) + data
