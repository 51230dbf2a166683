"""A receiver of webhooks: a real HTTP server on loopback that keeps every request, verifies the
signatures of Standard Webhooks by its own means, and misbehaves on demand."""
import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Request:
    """One POST as it came."""

    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        self.at = time.time()
        self.id = headers.get("webhook-id", "")
        self.event = json.loads(body)
        self.type = self.event["type"]
        self.data = self.event["data"]

    def signatures(self):
        return self.headers.get("webhook-signature", "").split(" ")

    def signed_by(self, secret):
        """Is one of the signatures made with this secret (whsec_...)?"""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        text = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        want = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        fresh = abs(time.time() - int(self.headers["webhook-timestamp"])) < 300
        return fresh and any(hmac.compare_digest(want, s) for s in self.signatures())


class Receiver:
    """with Receiver() as r: r.url("/a"); r.at("/a") are the requests there. r.says["/a"] is what it
    answers: a status, or a function of the request; r.location where a 3xx points to."""

    def __init__(self, cert=None, key=None):
        """cert, key: PEM files; then it speaks TLS."""
        self.scheme = "https" if cert else "http"
        self.requests, self.says, self.location = [], {}, None
        self.lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = Request(self.path, self.headers, body)
                with receiver.lock:
                    receiver.requests.append(request)
                says = receiver.says.get(self.path, 204)
                status = says(request) if callable(says) else says
                answer = b"" if status == 204 else b"answer of the receiver\n" * 4
                try:
                    self.send_response(status)
                    if 300 <= status < 400:
                        self.send_header("Location", receiver.location)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except OSError:
                    pass

            def do_GET(self):
                with receiver.lock:
                    receiver.requests.append(Request(self.path, self.headers,
                                                     b'{"type":"GET","data":{}}'))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path="/", host="127.0.0.1"):
        return f"{self.scheme}://{host}:{self.port}{path}"

    def at(self, path, type=None):
        with self.lock:
            return [r for r in self.requests if r.path == path and type in (None, r.type)]

    def ids(self, path, type=None):
        return {r.id for r in self.at(path, type)}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()
