#!/usr/bin/env python3
"""A strict server of the EBS direct APIs and the few calls of EC2 that go with
them, for tests.  It does what Amazon documents: signatures, block and page
tokens, checksums, counts, states, inheritance from a parent, changes in both
directions, and failures on demand.

    ebs_server.py PORTFILE [--fault KIND=N] [--page N] [--delay MS] [--describe N] [--clock SECONDS] [--huge N]

The port, which the system chooses, is written to PORTFILE.  KIND, each for
every Nth request of its sort (early: the first N block requests of a new
snapshot):
    throttle error silent reset badsum short expired early empty late cut
(late: EC2 does not know a new snapshot in the first N look-ups).
"""
import base64
import hashlib
import json
import secrets
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True
import aws_server
import ec2_server
from aws_server import Refused, due, escape, faults, lock, options, stats

BLOCK = 524288
ACCOUNT = "123456789012"
snapshots = {}
tokens = {}      # block token -> (snapshot, index)
pages = {}       # page token -> (operation, snapshot, first, index, expiry)
huge = None
pending_limit = 100
options.update(page=10000, describe=1000)


class Snapshot:
    def __init__(self, size, parent, tags, description, client_token):
        self.id = "snap-" + secrets.token_hex(9)[:17]
        self.size, self.parent, self.tags = size, parent, tags
        self.description, self.client_token = description, client_token
        self.state = "pending"
        self.own = {}            # index -> bytes, put into this one
        self.seen = 0            # block requests, for the fault "early"
        self.polls = 0
        self.started = time.time()
        self.volume = "vol-ffffffff"
        self.source = None       # the snapshot that the volume was made of
        self.late = faults.get("late", 0)

    def blocks(self):
        """All blocks, index -> bytes, with what the parents have."""
        all_blocks = dict(snapshots[self.parent].blocks()) if self.parent else {}
        all_blocks.update(self.own)
        return all_blocks

    def line(self):
        """Itself and what it comes from."""
        above = [snapshots[n].line() for n in (self.parent, self.source) if n in snapshots]
        return {self.id}.union(*above)

    def block(self, index):
        return self.own[index] if index in self.own else snapshots[self.parent].block(index)


def snapshot(name, state=None):
    s = snapshots.get(name)
    if not s:
        raise Refused(404, "ResourceNotFoundException", "The snapshot '%s' does not exist" % name)
    if state and s.state != state:
        raise Refused(400, "ValidationException", "The snapshot is %s" % s.state)
    return s


def block_token(s, index):
    key = hashlib.sha256(("%s/%d" % (s.id, index)).encode()).digest()
    token = base64.b64encode(key).decode()
    tokens[token] = (s.id, index)
    return token


def number(query, name, default, lo, hi):
    text = query.get(name, str(default))
    if not text.isdigit() or not lo <= int(text) <= hi:
        raise Refused(400, "ValidationException", "%s: %s is out of range" % (name, text))
    return int(text)


def page(operation, s, first, query, indices, row):
    """One page of `indices`, which are in order."""
    most = min(number(query, "maxResults", 10000, 100, 10000), options["page"])
    start = number(query, "startingBlockIndex", 0, 0, 1 << 40)
    if "pageToken" in query:
        known = pages.get(query["pageToken"])
        if not known or known[:3] != (operation, s.id, first) or known[4] < time.time():
            raise Refused(400, "ValidationException", "The page token is not valid")
        start = known[3]
    indices = [i for i in indices if i >= start]
    answer = {"VolumeSize": s.size, "BlockSize": BLOCK, "ExpiryTime": time.time() + 604800}
    take, rest = indices[:most], indices[most:]
    if due("empty") and indices and "pageToken" not in query:
        take, rest = [], indices
    if rest:
        token = secrets.token_urlsafe(24) + "+/="
        pages[token] = (operation, s.id, first, rest[0], time.time() + 3600)
        answer["NextToken"] = token
    return answer, [row(i) for i in take]


class Huge:
    """Indices of 16 TiB, every Nth of which is there and has changed."""
    def __init__(self, n):
        self.n, self.size, self.id, self.state = n, 16384, "snap-huge2", "completed"

    def page(self, operation, first, query, row):
        most = min(number(query, "maxResults", 10000, 100, 10000), options["page"])
        at = number(query, "startingBlockIndex", 0, 0, 1 << 40)
        if "pageToken" in query:
            at = int(query["pageToken"])
        at, end = -(-at // self.n), self.size * 2048 // self.n
        answer = {"VolumeSize": self.size, "BlockSize": BLOCK, "ExpiryTime": time.time() + 604800}
        if at + most < end:
            answer["NextToken"] = str((at + most) * self.n)
        return answer, [row(i * self.n) for i in range(at, min(at + most, end))]


def list_blocks(name, query):
    if huge and name in (huge.id, "snap-huge1"):
        answer, rows = huge.page("blocks", None, query, lambda i: {"BlockIndex": i, "BlockToken": "huge%d" % i})
        answer["Blocks"] = rows
        return answer
    s = snapshot(name, "completed")
    blocks = s.blocks()
    answer, rows = page("blocks", s, None, query, sorted(blocks),
                        lambda i: {"BlockIndex": i, "BlockToken": block_token(s, i)})
    answer["Blocks"] = rows
    return answer


def list_changes(name, query):
    if huge and name == huge.id:
        answer, rows = huge.page("changes", "snap-huge1", query, lambda i: {"BlockIndex": i, "SecondBlockToken": "huge%d" % i})
        answer["ChangedBlocks"] = rows
        return answer
    s = snapshot(name, "completed")
    first = query.get("firstSnapshotId")
    if first and snapshot(first).volume != s.volume and (ec2_server.limits["one_volume"] or first not in s.line()):
        raise Refused(400, "ValidationException", "The snapshots are not related")
    one = snapshot(first, "completed").blocks() if first else {}
    two = s.blocks()
    changed = sorted(i for i in set(one) | set(two) if one.get(i) != two.get(i))

    def row(i):
        r = {"BlockIndex": i}
        if i in one:
            r["FirstBlockToken"] = block_token(snapshots[first], i)
        if i in two:
            r["SecondBlockToken"] = block_token(s, i)
        return r

    answer, rows = page("changes", s, first, query, changed, row)
    answer["ChangedBlocks"] = rows
    return answer


def get_block(name, index, query):
    if huge and name == huge.id:
        if query.get("blockToken") != "huge%d" % index or index % huge.n:
            raise Refused(400, "ValidationException", "The block token is not valid for this block")
        return index.to_bytes(8, "little") * (BLOCK // 8)
    s = snapshot(name, "completed")
    if tokens.get(query.get("blockToken")) != (s.id, index):
        raise Refused(400, "ValidationException", "The block token is not valid for this block")
    return s.block(index)


def start_snapshot(body):
    size, parent = body.get("VolumeSize"), body.get("ParentSnapshotId")
    if not isinstance(size, int) or not 1 <= size <= 65536:
        raise Refused(400, "ValidationException", "VolumeSize is out of range")
    if not 10 <= body.get("Timeout", 60) <= 4320:
        raise Refused(400, "ValidationException", "Timeout is out of range")
    if parent and "Encrypted" in body:
        raise Refused(400, "ValidationException", "Encrypted and ParentSnapshotId exclude each other")
    if parent and snapshot(parent, "completed").size > size:
        raise Refused(400, "ValidationException", "The volume is smaller than that of its parent")
    token = body.get("ClientToken")
    with lock:
        for s in snapshots.values():
            if token and s.client_token == token:
                if (s.size, s.parent) != (size, parent):
                    raise Refused(409, "ConflictException", "The token was used with other parameters")
                return s
        if sum(s.state == "pending" for s in snapshots.values()) >= pending_limit:
            raise Refused(400, "ConcurrentLimitExceededException", "Too many pending snapshots")
        tags = {t["Key"]: t["Value"] for t in body.get("Tags", [])}
        s = Snapshot(size, parent, tags, body.get("Description", ""), token)
        snapshots[s.id] = s
    return s


def checksum(headers, data):
    if headers.get("x-amz-checksum-algorithm") != "SHA256":
        raise Refused(400, "ValidationException", "A checksum algorithm is needed: SHA256")
    if headers.get("x-amz-checksum") != base64.b64encode(hashlib.sha256(data).digest()).decode():
        raise Refused(400, "ValidationException", "The checksum is not that of the data")


def put_block(name, index, headers, data):
    s = snapshot(name, "pending")
    with lock:
        s.seen += 1
        if s.seen <= faults.get("early", 0):
            raise Refused(404, "ResourceNotFoundException", "The snapshot '%s' does not exist" % name)
    if headers.get("x-amz-data-length") != str(BLOCK) or len(data) != BLOCK:
        raise Refused(400, "ValidationException", "A block has %d bytes" % BLOCK)
    if not 0 <= index < s.size * 2048:
        raise Refused(400, "ValidationException", "The block is outside of the volume")
    checksum(headers, data)
    with lock:
        s.own[index] = bytes(data)
    return {"x-amz-checksum": headers["x-amz-checksum"], "x-amz-checksum-algorithm": "SHA256"}


def complete(name, headers):
    s = snapshot(name, "pending")
    if headers.get("x-amz-changedblockscount") != str(len(s.own)):
        raise Refused(400, "ValidationException", "The count of changed blocks is not %d" % len(s.own))
    if "x-amz-checksum" in headers:
        if headers.get("x-amz-checksum-aggregation-method") != "LINEAR":
            raise Refused(400, "ValidationException", "The aggregation method must be LINEAR")
        every = b"".join(hashlib.sha256(s.own[i]).digest() for i in sorted(s.own))
        checksum(headers, every)
    s.state = "completing"
    return {"Status": "pending"}


# --- EC2 ---------------------------------------------------------------

def xml(action, inner):
    return ('<?xml version="1.0" encoding="UTF-8"?>\n<%sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            '<requestId>%s</requestId>%s</%sResponse>' % (action, secrets.token_hex(16), inner, action))


def describe(form):
    wanted = [v for k, v in form.items() if k.startswith("SnapshotId.")]
    for name in wanted:
        if name in snapshots and snapshots[name].late > 0:
            snapshots[name].late -= 1
        elif name in snapshots:
            continue
        raise Refused(400, "InvalidSnapshot.NotFound", "The snapshot '%s' does not exist." % name)
    found = [snapshots[n] for n in wanted] if wanted else list(snapshots.values())
    for n in range(1, 10):
        key, value = form.get("Filter.%d.Name" % n), form.get("Filter.%d.Value.1" % n)
        if key == "status":
            found = [s for s in found if (s.state if s.state != "completing" else "pending") == value]
        elif key and key.startswith("tag:"):
            found = [s for s in found if s.tags.get(key[4:]) == value]
        elif key:
            raise Refused(400, "InvalidParameterValue", "The filter '%s' is invalid" % key)
    found.sort(key=lambda s: s.id)
    most = int(form.get("MaxResults", "1000"))
    if not 5 <= most <= 1000:
        raise Refused(400, "InvalidParameterValue", "MaxResults is out of range")
    if form.get("NextToken"):
        if not form["NextToken"].startswith("after "):
            raise Refused(400, "InvalidNextToken", "The token is not valid")
        found = [s for s in found if s.id > form["NextToken"][6:]]
    most = min(most, options["describe"])
    more = "<nextToken>after %s</nextToken>" % found[most - 1].id if len(found) > most else ""
    found = found[:most]
    rows = []
    for s in found:
        if s.state == "completing":
            s.polls += 1
            if s.polls > 2:
                s.state = "completed"
        shown = "pending" if s.state == "completing" else s.state
        tags = "".join("<item><key>%s</key><value>%s</value></item>" % (escape(k), escape(v)) for k, v in s.tags.items())
        rows.append("<item><snapshotId>%s</snapshotId><volumeId>%s</volumeId><status>%s</status>"
                    "<startTime>%s</startTime><progress>100%%</progress><ownerId>%s</ownerId>"
                    "<volumeSize>%d</volumeSize><description>%s</description><encrypted>false</encrypted>"
                    "<tagSet>%s</tagSet></item>"
                    % (s.id, s.volume, shown, time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(s.started)) + "%03dZ" % (s.started % 1 * 1000), ACCOUNT, s.size,
                       escape(s.description), tags))
    return xml("DescribeSnapshots", "<snapshotSet>%s</snapshotSet>%s" % ("".join(rows), more))


def delete(form):
    name = form.get("SnapshotId")
    if name not in snapshots:
        raise Refused(400, "InvalidSnapshot.NotFound", "The snapshot '%s' does not exist." % name)
    if ec2_server.snapshot_in_use(name):
        raise Refused(400, "InvalidSnapshot.InUse", "The snapshot %s is currently in use by an image" % name)
    for s in snapshots.values():       # what others inherit stays theirs
        if s.parent == name:
            s.own = s.blocks()
            s.parent = None
    del snapshots[name]
    return xml("DeleteSnapshot", "<return>true</return>")


ec2_server.core = sys.modules[__name__]
EC2 = {"DescribeSnapshots": describe, "DeleteSnapshot": delete, **ec2_server.ACTIONS}


# --- HTTP --------------------------------------------------------------

class Handler(aws_server.Handler):
    def refuse(self, r, path):
        if path == "/":
            text = "<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors></Response>" % (r.name, escape(r.text))
            self.answer(r.status, text.encode(), kind="text/xml")
        else:
            self.answer(r.status, json.dumps({"Message": r.text}).encode(), {"x-amzn-ErrorType": r.name})

    def send_block(self, data):
        h = {"x-amz-Data-Length": str(len(data)), "x-amz-Checksum-Algorithm": "SHA256",
             "x-amz-Checksum": base64.b64encode(hashlib.sha256(data).digest()).decode()}
        if due("badsum"):
            data = bytes([data[0] ^ 1]) + data[1:]
        if due("short"):
            data = data[:-512]
        if due("reset"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:1000])
            self.close_connection = True
            return
        self.answer(200, data, h, "application/octet-stream")

    def ec2(self, body):
        if self.headers.get("X-Amz-Target") == "ServiceQuotasV20190624.GetServiceQuota":
            return self.answer(200, ec2_server.quota(body).encode(), kind="application/x-amz-json-1.1")
        form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        if form.get("Action") not in EC2:
            raise Refused(400, "InvalidAction", "The action is not valid")
        with lock:
            text = EC2[form["Action"]](form)
        return self.answer(200, text.encode(), kind="text/xml")

    def route(self, path, query, body):
        if path == "/":
            return self.ec2(body)
        parts = path.strip("/").split("/")
        q = dict(query)
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            raise Refused(404, "UnknownOperationException", "There are no forms here")
        if self.command == "POST" and parts == ["snapshots"]:
            s = start_snapshot(json.loads(body))
            self.answer(201, json.dumps({
                "SnapshotId": s.id, "OwnerId": ACCOUNT, "Status": "pending", "StartTime": s.started,
                "VolumeSize": s.size, "BlockSize": BLOCK, "Description": s.description,
                **({"ParentSnapshotId": s.parent} if s.parent else {})}).encode())
        elif self.command == "POST" and parts[:2] == ["snapshots", "completion"]:
            h = {k.lower(): v for k, v in self.headers.items()}
            self.answer(202, json.dumps(complete(parts[2], h)).encode())
        elif self.command == "PUT" and len(parts) == 4 and parts[2] == "blocks":
            h = {k.lower(): v for k, v in self.headers.items()}
            self.answer(201, b"", put_block(parts[1], int(parts[3]), h, body))
        elif self.command == "GET" and len(parts) == 4 and parts[2] == "blocks":
            self.send_block(get_block(parts[1], int(parts[3]), q))
        elif self.command == "GET" and len(parts) == 3 and parts[2] in ("blocks", "changedblocks"):
            f = list_blocks if parts[2] == "blocks" else list_changes
            with lock:
                answer = f(parts[1], q)
            self.answer(200, json.dumps(answer).encode())
        else:
            raise Refused(404, "UnknownOperationException", "There is no such operation")
        return None

    def control(self, path, query, body):
        answer = b""
        if path == "/_stats":
            answer = json.dumps({"stats": stats, "snapshots": [
                {"id": s.id, "state": s.state, "parent": s.parent, "own": len(s.own), "tags": s.tags, "volume": s.volume, "size": s.size}
                for s in snapshots.values()]}).encode()
        elif path == "/_state":
            answer = json.dumps(ec2_server.state()).encode()
        elif path == "/_instance":
            ec2_server.add_instance(json.loads(body))
        elif path == "/_write":
            ec2_server.write(json.loads(body))
        elif path == "/_limits":
            ec2_server.limits.update(json.loads(body))
        self.answer(200, answer)

    def count(self, path, body):
        word = "ec2" if path == "/" else path.strip("/").split("/")[-2 if self.command == "PUT" else -1][:13]
        stats[self.command + " " + word] += 1

    def trouble(self, path):
        if due("error"):
            raise Refused(500, "InternalServerException", "An internal error has occurred")
        if due("throttle"):
            raise Refused(400, "RequestLimitExceeded" if path == "/" else "RequestThrottledException", "Rate exceeded")

    do_GET = do_POST = do_PUT = aws_server.Handler.serve


def make_huge(value):
    global huge
    huge = Huge(int(value))


if __name__ == "__main__":
    aws_server.run(Handler, {"--huge": make_huge})
