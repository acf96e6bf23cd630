"""What the strict servers of the tests have in common: signatures, credentials
from an instance's metadata, failures on demand, options, and a port that the
system chooses.  A server is a module with a subclass of Handler, that calls
run().
"""
import collections
import hashlib
import hmac
import http.server
import json
import os
import sys
import threading
import time
import urllib.parse

KEYS = {"AKIDTEST": "secret/of+the=tests"}
lock = threading.RLock()
faults = {}      # kind -> every Nth
counters = collections.Counter()
stats = collections.Counter()
options = {"page": 1000000, "delay": 0.0, "clock": 0, "port": 0}     # clock: seconds that ours is ahead


class Refused(Exception):
    def __init__(self, status, name, text):
        super().__init__(text)
        self.status, self.name, self.text = status, name, text


def due(kind):
    n = faults.get(kind)
    if not n:
        return False
    with lock:
        counters[kind] += 1
        return counters[kind] % n == 0


def escape(s):
    return s.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20
    disable_nagle_algorithm = True

    def date_time_string(self, timestamp=None):
        return super().date_time_string(timestamp or time.time() + options["clock"])

    def log_message(self, *args):
        pass

    def canonical_path(self, path):
        """For all services but S3 what is encoded is encoded again."""
        return urllib.parse.quote(path, safe="/-_.~")

    def authorize(self, path, query, body):
        h = {k.lower(): v for k, v in self.headers.items()}
        words = dict(w.strip().split("=", 1) for w in h.get("authorization", "")[len("AWS4-HMAC-SHA256 "):].split(",") if "=" in w)
        scope = words.get("Credential", "").split("/")
        if len(scope) != 5 or scope[0] not in KEYS:
            raise Refused(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
        if due("expired"):
            raise Refused(403, "ExpiredTokenException", "The security token included in the request is expired")
        when = h.get("x-amz-date", "")
        try:
            skew = abs(time.time() + options["clock"] - time.mktime(time.strptime(when, "%Y%m%dT%H%M%SZ")) + time.timezone)
        except ValueError:
            skew = 1e9
        if skew > 300 or when[:8] != scope[1]:
            raise Refused(403, "InvalidSignatureException", "Signature expired")
        claimed = h.get("x-amz-content-sha256")
        actual = hashlib.sha256(body).hexdigest()
        if claimed not in (None, actual, "UNSIGNED-PAYLOAD"):
            raise Refused(400, "InvalidSignatureException", "The payload's hash is not the signed one")
        signed = words["SignedHeaders"].split(";")
        if "host" not in signed or any(k.startswith("x-amz-") and k not in signed for k in h):
            raise Refused(403, "InvalidSignatureException", "Headers that must be signed were not")
        canonical = "\n".join([
            self.command, self.canonical_path(path),
            "&".join("%s=%s" % p for p in sorted((urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~"))
                                                 for k, v in query)),
            "".join("%s:%s\n" % (k, " ".join(h.get(k, "").split())) for k in signed),
            ";".join(signed), claimed or actual])
        key = digest(("AWS4" + KEYS[scope[0]]).encode(), scope[1])
        for part in scope[2:]:
            key = digest(key, part)
        text = "\n".join(["AWS4-HMAC-SHA256", when, "/".join(scope[1:]), hashlib.sha256(canonical.encode()).hexdigest()])
        if not hmac.compare_digest(digest(key, text).hex(), words.get("Signature", "")):
            raise Refused(403, "InvalidSignatureException", "The request signature we calculated does not match")

    def answer(self, status, body, headers=(), kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for k, v in dict(headers).items():
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(body)

    def metadata(self, path):
        """Credentials as an instance (IMDSv2) or a container gets them."""
        h = {k.lower(): v for k, v in self.headers.items()}
        with lock:
            stats["metadata"] += 1
        if self.command == "PUT" and path == "/latest/api/token" and "x-aws-ec2-metadata-token-ttl-seconds" in h:
            return self.answer(200, b"metadata-token", kind="text/plain")
        if path != "/container" and h.get("x-aws-ec2-metadata-token") != "metadata-token":
            return self.answer(401, b"", kind="text/plain")
        if path == "/container" and h.get("authorization") != "container-token":
            return self.answer(401, b"", kind="text/plain")
        if path.endswith("/security-credentials/"):
            return self.answer(200, b"role", kind="text/plain")
        name, secret = next(iter(KEYS.items()))
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        self.answer(200, json.dumps({"Code": "Success", "AccessKeyId": name, "SecretAccessKey": secret,
                                     "Token": "session-token", "Expiration": expires}).encode())

    # --- what a server says for itself: ---
    # route(path, query, body): answer it, or raise Refused
    # refuse(r, path): say so
    # control(path, query, body): what tests see and do behind the clients' backs
    # count(path, body): for the statistics
    # trouble(path): faults before the signature is looked at; True ends the connection

    def allow(self, path, query, body):
        self.authorize(path, query, body)

    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qsl(url.query, keep_blank_values=True)
        length = int(self.headers.get("Content-Length") or 0)
        if self.command == "PUT" and due("cut"):
            self.rfile.read(length // 2)
            self.close_connection = True
            return None
        body = self.rfile.read(length)
        if url.path.startswith("/latest/") or url.path == "/container":
            return self.metadata(url.path)
        if url.path == "/_faults":
            with lock:
                faults.clear()
                faults.update({k: int(v) for k, v in query})
            return self.answer(200, b"")
        if url.path.startswith("/_"):
            return self.control(url.path, query, body)
        if options["delay"]:
            time.sleep(options["delay"])
        with lock:
            self.count(url.path, body)
        try:
            if due("silent"):
                threading.Event().wait(3600)
            if self.trouble(url.path):
                self.close_connection = True
                return None
            self.allow(url.path, query, body)
            self.route(url.path, query, body)
        except Refused as r:
            self.refuse(r, url.path)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        return None


def run(handler, words):
    """Serve, until killed: PORTFILE [OPTION VALUE]...; words: option -> what
    takes its value, beside those that all have."""
    args = sys.argv[1:]
    portfile = args.pop(0)
    while args:
        word, value = args.pop(0), args.pop(0)
        if word == "--fault":
            kind, n = value.split("=")
            faults[kind] = int(n)
        elif word == "--delay":
            options["delay"] = int(value) / 1000
        elif word in words:
            words[word](value)
        elif word.lstrip("-") in options:
            options[word.lstrip("-")] = int(value)
        else:
            sys.exit("%s: unknown word %s" % (sys.argv[0], word))
    http.server.ThreadingHTTPServer.request_queue_size = 256
    http.server.ThreadingHTTPServer.daemon_threads = True
    http.server.ThreadingHTTPServer.allow_reuse_address = True
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options["port"]), handler)
    with open(portfile + ".new", "w") as f:
        f.write("%d\n" % server.server_address[1])
    os.rename(portfile + ".new", portfile)
    server.serve_forever()
