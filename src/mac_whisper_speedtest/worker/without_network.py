"""Runs a program without a network, on Linux: ``without_network.py FOLDER PORT PROGRAM [...]``.

This process moves into a new network namespace, which has a loopback interface and nothing
else, and then becomes the program; every process that the program starts is in it, too. Started by
its path; standard library only.

With a FOLDER, a socket that listens at 127.0.0.1:PORT inside is handed to the tool, over the Unix
socket `SOCKET_NAME` in that folder: only a process in the namespace can open it.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys

SOCKET_NAME = "network"
FAILED = 71  # EX_OSERR of sysexits.h

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # of unshare(2)
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1  # of netdevice(7)


def main() -> int:
    """Leave the network, then become the program. Returns only after a failure."""
    folder, port, program = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    try:
        _leave_network()
        if folder:
            _hand_over_listener(folder, port)
    except OSError as error:
        sys.stderr.write(f"cannot block the network: {error.strerror or error}\n")
        return FAILED
    try:
        os.execvp(program[0], program)  # noqa: S606 - the program that the tool starts
    except OSError as error:
        sys.stderr.write(f"cannot start {program[0]}: {error.strerror}\n")
        return FAILED


def _leave_network() -> None:
    user, group = os.geteuid(), os.getegid()
    try:
        _unshare(_NEW_NETWORK)  # works for root, who needs no user namespace
    except OSError:
        _unshare(_NEW_USER | _NEW_NETWORK)
        # Keep the same user, so that files and devices stay accessible.
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:  # noqa: PTH123
                stream.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(any_socket, _GET_FLAGS, request), 16)
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _UP))


def _unshare(flags: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _hand_over_listener(folder: str, port: int) -> None:
    # A path through a handle, because a socket's path is limited to 107 bytes.
    handle = os.open(folder, os.O_RDONLY)
    with (
        socket.create_server(("127.0.0.1", port)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as tool,
    ):
        tool.connect(f"/proc/self/fd/{handle}/{SOCKET_NAME}")
        socket.send_fds(tool, [b"\0"], [listener.fileno()])
    os.close(handle)


if __name__ == "__main__":
    sys.exit(main())
