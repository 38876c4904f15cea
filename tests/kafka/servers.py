"""What the servers of the tests lack: TLS before one of them, and one that refuses logins.

servers.py tls PORT SERVER_PORT CERTIFICATE KEY
servers.py login PORT
"""

import socket
import ssl
import struct
import sys
import threading


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


what, port, *rest = sys.argv[1:]
serve(int(port), tls(int(rest[0]), *rest[1:]) if what == "tls" else login)
