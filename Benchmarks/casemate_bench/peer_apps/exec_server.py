"""Stand-in for OpenFaaS's classic watchdog: for each request a new Python is executed, with the body on its standard input.

As little as possible around it: posix_spawn, two pipes, a thread per connection, so that what is measured is the process per call.
"""

import os
import re
import socket
import sys
import threading

FUNCTION = os.path.join(os.path.dirname(os.path.abspath(__file__)), "exec_function.py")
PYTHON = sys.argv[2]


def execute(body: bytes) -> tuple[int, bytes]:
    stdin, to_function = os.pipe()
    from_function, stdout = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, stdout, 1)]
    pid = os.posix_spawn(PYTHON, [PYTHON, FUNCTION], os.environ, file_actions=actions)
    os.close(stdin)
    os.close(stdout)
    with os.fdopen(to_function, "wb", buffering=0) as pipe:
        pipe.write(body)  # fits into the pipe
    with os.fdopen(from_function, "rb") as pipe:
        answer = pipe.read()
    return os.waitpid(pid, 0)[1], answer


def serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = b""
    with connection:
        while True:
            while (end := data.find(b"\r\n\r\n")) < 0:
                part = connection.recv(65536)
                if not part:
                    return
                data += part
            found = re.search(rb"content-length:\s*(\d+)", data[:end], re.I)
            total = end + 4 + (int(found[1]) if found else 0)
            while len(data) < total:
                part = connection.recv(65536)
                if not part:
                    return
                data += part
            status, answer = execute(data[end + 4 : total])
            data = data[total:]
            line = b"200 OK" if status == 0 else b"500 Internal Server Error"
            head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (line, len(answer))
            connection.sendall(head + answer)


with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128) as listener:
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
