#!/usr/bin/env python3
"""A strict S3 server for tests: objects of one or more buckets, in memory or,
with --dir, in files.  It does what Amazon documents for the calls that it
knows: signatures over the path as it stands, checksums, ranges, pages of
ListObjectsV2, conditional puts, and failures on demand.

    s3_server.py PORTFILE [--dir DIR] [--fault KIND=N] [--page N] [--delay MS]
                 [--ignore-condition yes] [--port N]

The port, which the system chooses, is written to PORTFILE.  Buckets come to be
by CreateBucket.  KIND, each for every Nth request of its sort:
    throttle error silent reset expired     any request
    lost       a put that is done, and whose answer does not come
    conflict   a conditional put: 409, as when another one is under way
    badsum     a put: the checksum in the answer is another one
    unfit      a put or a delete: 416, and nothing is done
    short      a get: less comes than was announced
    loose      a list: what does not begin as it was asked for is there too
    flip       the Nth get of a large part, and no other: one bit is another
"""
import base64
import email.utils
import hashlib
import json
import os
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True
import aws_server
from aws_server import Refused, due, escape, faults, lock, options, stats

buckets = {}     # name -> {key: Object}
options.update(dir=None, page=1000, ignore=False)


class Object:
    """The bytes, in memory or in a file."""

    def __init__(self, data, path=None, modified=None):
        self.size, self.path = len(data), path
        self.etag = hashlib.md5(data).hexdigest()
        self.sum = base64.b64encode(hashlib.sha256(data).digest()).decode()
        self.modified = int(time.time()) if modified is None else modified
        self.data = None if path else data

    def read(self, start=0, end=None):
        if self.path is None:
            return self.data[start:end]
        with open(self.path, "rb") as f:
            f.seek(start)
            return f.read(-1 if end is None else end - start)


def file_of(bucket, key):
    return os.path.join(options["dir"], bucket, urllib.parse.quote(key, safe="")) if options["dir"] else None


def store(bucket, key, data):
    path = file_of(bucket, key)
    if path:
        with open(path + "~", "wb") as f:
            f.write(data)
        os.rename(path + "~", path)
    buckets[bucket][key] = Object(data, path)


def load():
    """What an earlier run left in files."""
    for bucket in os.listdir(options["dir"]):
        buckets[bucket] = {}
        for name in os.listdir(os.path.join(options["dir"], bucket)):
            path = os.path.join(options["dir"], bucket, name)
            if name.endswith("~"):
                continue
            with open(path, "rb") as f:
                buckets[bucket][urllib.parse.unquote(name)] = Object(f.read(), path, int(os.stat(path).st_mtime))


def bucket_of(name):
    if name not in buckets:
        raise Refused(404, "NoSuchBucket", "The specified bucket does not exist")
    return buckets[name]


def stamp(t):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(t))


def listing(bucket, q):
    """One page of ListObjectsV2."""
    if q.get("list-type") != "2":
        raise Refused(400, "InvalidArgument", "Only the second version of the list is spoken here")
    if q.get("encoding-type", "url") != "url":
        raise Refused(400, "InvalidArgument", "Invalid Encoding Method specified in Request")
    prefix, token = q.get("prefix", ""), q.get("continuation-token")
    shown = (lambda k: urllib.parse.quote_plus(k, safe="/-_.*")) if "encoding-type" in q else escape
    loose = due("loose")
    keys = sorted(k for k in bucket_of(bucket) if k.startswith(prefix) or loose)
    if token:
        try:
            after = base64.urlsafe_b64decode(token.encode()).decode()
        except ValueError:
            raise Refused(400, "InvalidArgument", "The continuation token provided is incorrect")
        keys = [k for k in keys if k > after]
    most = min(int(q.get("max-keys", "1000")), options["page"])
    page, more = keys[:most], len(keys) > most
    rows = "".join(
        "<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag><Size>%d</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        % (shown(k), stamp(buckets[bucket][k].modified), buckets[bucket][k].etag, buckets[bucket][k].size) for k in page)
    following = ("<NextContinuationToken>%s</NextContinuationToken>"
                 % base64.urlsafe_b64encode(page[-1].encode()).decode()) if more else ""
    return ('<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            "<Name>%s</Name><Prefix>%s</Prefix><KeyCount>%d</KeyCount><MaxKeys>%d</MaxKeys><IsTruncated>%s</IsTruncated>"
            "%s%s</ListBucketResult>" % (bucket, shown(prefix), len(page), most, "true" if more else "false", following, rows))


class Handler(aws_server.Handler):
    def canonical_path(self, path):
        return path

    def headers_low(self):
        return {k.lower(): v for k, v in self.headers.items()}

    def refuse(self, r, path):
        text = ('<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>%s</Message>'
                "<RequestId>0</RequestId></Error>" % (r.name, escape(r.text)))
        self.answer(r.status, b"" if self.command == "HEAD" else text.encode(), kind="application/xml")

    def checks(self, body):
        h = self.headers_low()
        if "x-amz-content-sha256" not in h:
            raise Refused(400, "MissingSecurityHeader", "x-amz-content-sha256 is missing")
        said = h.get("x-amz-checksum-sha256")
        if said and said != base64.b64encode(hashlib.sha256(body).digest()).decode():
            raise Refused(400, "BadDigest", "The SHA256 you specified did not match the calculated checksum.")

    def put(self, bucket, key, body):
        h = self.headers_low()
        condition = None if options["ignore"] else h.get("if-none-match")
        if condition not in (None, "*"):
            raise Refused(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
        if len(key.encode()) > 1024:
            raise Refused(400, "KeyTooLongError", "Your key is too long")
        if condition and due("conflict"):
            raise Refused(409, "ConditionalRequestConflict", "Another conditional request is under way")
        with lock:
            if condition and key in bucket_of(bucket):
                raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
            bucket_of(bucket)
            store(bucket, key, body)
            o = buckets[bucket][key]
        if due("lost"):
            self.close_connection = True
            return
        answer = {"ETag": '"%s"' % o.etag}
        if "x-amz-checksum-sha256" in h:
            answer["x-amz-checksum-sha256"] = "A" * 43 + "=" if due("badsum") else o.sum
        self.answer(200, b"", answer, "application/xml")

    def get(self, bucket, key):
        h = self.headers_low()
        with lock:
            o = bucket_of(bucket).get(key)
        if o is None:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        answer = {"ETag": '"%s"' % o.etag, "Last-Modified": email.utils.formatdate(o.modified, usegmt=True),
                  "Accept-Ranges": "bytes"}
        status, start, end = 200, 0, o.size - 1
        if h.get("range", "").startswith("bytes="):
            first, _, last = h["range"][6:].partition("-")
            if first:
                start, end = int(first), min(int(last) if last else o.size - 1, o.size - 1)
            else:
                start, end = max(0, o.size - int(last)), o.size - 1
            if start >= o.size:
                raise Refused(416, "InvalidRange", "The requested range is not satisfiable")
            status = 206
            answer["Content-Range"] = "bytes %d-%d/%d" % (start, end, o.size)
        part = o.read(start, end + 1) if self.command != "HEAD" else b""
        if self.command == "HEAD":
            self.send_response(status)
            for k, v in dict(answer, **{"Content-Length": str(o.size)}).items():
                self.send_header(k, v)
            self.end_headers()
            return
        if len(part) > 100000 and "flip" in faults:
            with lock:
                faults["flip"] -= 1
                if faults["flip"] == 0:
                    part = bytearray(part)
                    part[len(part) // 2] ^= 1
                    part = bytes(part)
        if due("short") and len(part) > 1:
            self.send_response(status)
            self.send_header("Content-Length", str(len(part)))
            for k, v in answer.items():
                self.send_header(k, v)
            self.end_headers()
            self.wfile.write(part[:len(part) // 2])
            self.close_connection = True
            return
        self.answer(status, part, answer, "application/octet-stream")

    def route(self, path, query, body):
        bucket, _, key = urllib.parse.unquote(path).lstrip("/").partition("/")
        q = dict(query)
        if not key and self.command == "PUT":
            if options["dir"]:
                os.makedirs(os.path.join(options["dir"], bucket), exist_ok=True)
            with lock:
                buckets.setdefault(bucket, {})
            self.answer(200, b"", kind="application/xml")
        elif not key and self.command == "GET":
            with lock:
                text = listing(bucket, q)
            self.answer(200, text.encode(), kind="application/xml")
        elif key and self.command == "PUT":
            self.put(bucket, key, body)
        elif key and self.command in ("GET", "HEAD"):
            self.get(bucket, key)
        elif key and self.command == "DELETE":
            with lock:
                o = bucket_of(bucket).pop(key, None)
                if o and o.path:
                    os.unlink(o.path)
            self.answer(204, b"", kind="application/xml")
        else:
            raise Refused(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")

    def control(self, path, query, body):
        """What tests see and do behind the back of the clients."""
        with lock:
            if path == "/_corrupt":
                bucket, key, at = (dict(query)[k] for k in ("bucket", "key", "at"))
                data = bytearray(buckets[bucket][key].read())
                data[int(at)] ^= 1
                store(bucket, key, bytes(data))
            answer = {"stats": stats, "objects": {b: {k: o.size for k, o in v.items()} for b, v in buckets.items()}}
            self.answer(200, json.dumps(answer).encode())

    def count(self, path, body):
        stats[self.command] += 1
        stats["bytes " + self.command] += len(body)

    def trouble(self, path):
        if due("reset"):
            return True
        if due("error"):
            raise Refused(500, "InternalError", "We encountered an internal error. Please try again.")
        if due("throttle"):
            raise Refused(503, "SlowDown", "Please reduce your request rate.")
        return False

    def allow(self, path, query, body):
        try:
            self.authorize(path, query, body)
        except Refused as r:
            names = {"UnrecognizedClientException": "InvalidAccessKeyId", "ExpiredTokenException": "ExpiredToken",
                     "InvalidSignatureException": "SignatureDoesNotMatch"}
            raise Refused(403 if r.name != "ExpiredTokenException" else 400, names.get(r.name, r.name), r.text)
        if self.command in ("PUT", "DELETE") and due("unfit"):
            raise Refused(416, "InvalidRange", "The requested range is not satisfiable")
        self.checks(body)

    do_GET = do_PUT = do_DELETE = do_HEAD = aws_server.Handler.serve


def use_dir(path):
    options["dir"] = path
    load()


def ignore_condition(value):
    options["ignore"] = value == "yes"


if __name__ == "__main__":
    aws_server.run(Handler, {"--dir": use_dir, "--ignore-condition": ignore_condition})
