"""What the servers of the tests lack: TLS before one of them, one that refuses logins, and one with moods.

servers.py tls PORT SERVER_PORT CERTIFICATE KEY
servers.py login PORT
servers.py moody PORT SERVER_PORT FOLDER
"""

import socket
import ssl
import os
import re
import struct
import sys
import threading
import time


def serve(port, handle):
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        client, _ = listener.accept()
        threading.Thread(target=handle, args=(client,), daemon=True).start()


def passes(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def tls(server_port, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def handle(client):
        try:
            client = context.wrap_socket(client, server_side=True)
        except (OSError, ssl.SSLError):
            return
        server = socket.create_connection(("127.0.0.1", server_port))
        threading.Thread(target=passes, args=(server, client), daemon=True).start()
        passes(client, server)

    return handle


def exactly(client, count):
    data = b""
    while len(data) < count:
        more = client.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def text(value):
    return struct.pack(">h", len(value)) + value


def login(client):
    """Knows four requests, and no password."""
    mechanisms = [b"PLAIN", b"SCRAM-SHA-256", b"SCRAM-SHA-512"]
    known = [(3, 0, 12), (17, 0, 1), (18, 0, 0), (36, 0, 1)]
    versions = struct.pack(">i", len(known)) + b"".join(struct.pack(">hhh", *it) for it in known)
    try:
        while True:
            (size,) = struct.unpack(">i", exactly(client, 4))
            request = exactly(client, size)
            key, version, number = struct.unpack(">hhi", request[:8])
            if key == 18:
                answer = struct.pack(">h", 35 if version else 0) + versions
            elif key == 17:
                answer = struct.pack(">hi", 0, len(mechanisms)) + b"".join(map(text, mechanisms))
            elif key == 36:
                answer = struct.pack(">h", 58) + text(b"Authentication failed") + struct.pack(">i", 0)
                answer += struct.pack(">q", 0) if version else b""
            else:
                return
            answer = struct.pack(">i", number) + answer
            client.sendall(struct.pack(">i", len(answer)) + answer)
    except (EOFError, OSError):
        return
    finally:
        client.close()


def moody(port, server_port, folder):
    """With the file `deaf` in its folder, it does not say where a group is for a while after a member has
    joined. With the file `short`, it takes no more than 100 bytes with a commit. With the file `denies`, it
    refuses each commit, as one that the user may not make, and adds a byte to the file."""
    deaf_until = 0
    address = re.compile(rb"(127\.0\.0\.1|localhost)" + re.escape(struct.pack(">i", server_port)))

    def mood(name):
        return os.path.exists(os.path.join(folder, name))

    def requests(client, server, refused):
        nonlocal deaf_until
        try:
            while True:
                size = exactly(client, 4)
                request = exactly(client, *struct.unpack(">i", size))
                key, version, number = struct.unpack(">hhi", request[:8])
                if key == 14 and mood("deaf"):
                    os.remove(os.path.join(folder, "deaf"))
                    deaf_until = time.monotonic() + 1.5
                if key == 9 and time.monotonic() < deaf_until:
                    return
                if key == 8 and mood("short") and len(request) > 300:
                    refused[number] = version, 12
                if key == 8 and mood("denies"):
                    refused[number] = version, 30
                    with open(os.path.join(folder, "denies"), "a") as file:
                        file.write(".")
                server.sendall(size + request)
        except (EOFError, OSError):
            pass
        finally:
            client.close()
            server.close()

    def answers(client, server, refused):
        try:
            while True:
                answer = exactly(server, *struct.unpack(">i", exactly(server, 4)))
                answer = address.sub(lambda it: it.group(1) + struct.pack(">i", port), answer)
                refusal = refused.pop(struct.unpack(">i", answer[:4])[0], None)
                if refusal is not None:
                    version, code = refusal
                    # The code of the one partition, and the tags behind it.
                    tags = 3 if version >= 8 else 0
                    end = len(answer) - tags
                    answer = answer[: end - 2] + struct.pack(">h", code) + answer[end:]
                client.sendall(struct.pack(">i", len(answer)) + answer)
        except (EOFError, OSError):
            client.close()

    def handle(client):
        server = socket.create_connection(("127.0.0.1", server_port))
        refused = {}
        threading.Thread(target=answers, args=(client, server, refused), daemon=True).start()
        requests(client, server, refused)

    return handle


what, port, *rest = sys.argv[1:]
port = int(port)
if what == "tls":
    serve(port, tls(int(rest[0]), *rest[1:]))
elif what == "moody":
    serve(port, moody(port, int(rest[0]), rest[1]))
else:
    serve(port, login)
