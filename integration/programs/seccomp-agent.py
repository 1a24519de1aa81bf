#!/usr/bin/env python3
"""A seccomp agent for the tests: seccomp-agent.py SOCKET STATE-FILE MODE

Takes listeners over SOCKET, writes the state that came with the first to STATE-FILE, with the second to STATE-FILE.1 and so
on, and answers:
  errno N    every call fails with N
  continue   every call goes on
  addfd F    an open of /magic gets the file F (SECCOMP_IOCTL_NOTIF_ADDFD), anything else goes on
  hang-up    takes nothing: closes the connection, and with it the listener
  late N     waits a second, then fails every call with N
  mute       takes the listener and answers nothing
  deaf       accepts no connection
  full       accepts no connection, and the queue of its socket is full
  flood      sends as much as it can to whoever connects, takes the listener, and lets every call go on
  quit       takes the listener and ends
"""
import array, fcntl, json, os, select, socket, struct, sys, threading, time

RECV, SEND, ADDFD = 0xC0502100, 0xC0182101, 0x40182103
CONTINUE, ADDFD_SEND = 1, 2

path, state_file, mode, *rest = sys.argv[1:]
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen(0 if mode == "full" else 16)
waiting = []
if mode == "full":
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        waiting.append(client)
        if client.connect_ex(path) != 0:
            break
    open(state_file, "w").close()
if mode in ("deaf", "full"):
    time.sleep(1000)


def take(connection):
    """The state's text and the listener."""
    text, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(64))
    fds = array.array("i")
    for level, kind, data in ancillary:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        fds.frombytes(data[: len(data) - len(data) % 4])
    while True:
        try:
            json.loads(text)
            break
        except ValueError:  # runc keeps the connection open as long as it runs: its end tells nothing
            part = connection.recv(65536)
            assert part, text
            text += part
    (listener,) = fds
    return text, listener


def string_of(pid, address):
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        memory.seek(address)
        return memory.read(256).split(b"\0")[0]


def answer(listener):
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        if poll.poll()[0][1] & select.POLLHUP:
            break
        buffer = bytearray(80)
        try:
            fcntl.ioctl(listener, RECV, buffer)
        except FileNotFoundError:  # it was killed meanwhile
            continue
        identity, pid, _flags, number, _arch, _ip, *args = struct.unpack("=QIIiIQ6Q", buffer)
        try:
            if mode in ("errno", "late"):
                fcntl.ioctl(listener, SEND, struct.pack("=QqiI", identity, 0, -int(rest[0]), 0))
            elif mode == "addfd" and string_of(pid, args[0 if number == 2 else 1]) == b"/magic":
                with open(rest[0]) as file:
                    fcntl.ioctl(listener, ADDFD, struct.pack("=QIIII", identity, ADDFD_SEND, file.fileno(), 0, 0))
            elif mode != "mute":
                fcntl.ioctl(listener, SEND, struct.pack("=QqiI", identity, 0, 0, CONTINUE))
        except FileNotFoundError:
            continue


def serve(connection, place):
    if mode == "late":
        time.sleep(1)
    if mode == "flood":
        connection.setblocking(False)
        try:
            while True:
                connection.send(b"x" * 65536)
        except OSError:  # no room, or nobody there
            connection.setblocking(True)
    text, listener = take(connection)
    name = f"{state_file}.{place}" if place else state_file
    with open(name + ".new", "wb") as file:
        file.write(text)
    os.rename(name + ".new", name)
    if mode == "quit":
        os._exit(0)
    answer(listener)


place = 0
while True:
    connection, _ = server.accept()
    if mode == "hang-up":
        sys.exit()
    threading.Thread(target=serve, args=(connection, place), daemon=True).start()
    place += 1
