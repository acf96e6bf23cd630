#!/usr/bin/env python3
"""Read a disk of a checkpoint out of a site by nothing but what dm-repository(5)
says:  read-site.py SITE WORKLOAD SEQ DISK >OUT

No line of dm is used, so what the page leaves out fails here.  Ids are not
computed (that needs a BLAKE3 library); who calls this compares the bytes.
"""
import hashlib
import json
import os
import struct
import subprocess
import sys

LEAF = 65536
CHUNK, OVERLAY, NODE, ROOT = 1, 2, 3, 4
ZERO = bytes(32)


def zstd(data):
    return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout


class Site:
    def __init__(self, path):
        self.path, self.where = path, {}
        with open(path + "/config") as f:
            self.config = json.load(f)
        for at, _, files in os.walk(path + "/chunks/packs"):
            for name in files:
                self.take(os.path.join(at, name))

    def take(self, name):
        """The table of one pack; of several records of an id the shallowest."""
        with open(name, "rb") as f:
            pack = f.read()
        magic, version = pack[:8], struct.unpack_from("<H", pack, 8)[0]
        assert magic == b"dm-pack\n" and version == 1 and pack[16:32].hex() == self.config["id"]
        trailer = pack[-64:]
        count, table, size = struct.unpack_from("<IIQ", trailer, 8)
        assert trailer[:8] == b"dm-table" and size == len(pack)
        for i in range(count):
            line = pack[table + 48 * i:table + 48 * (i + 1)]
            off, length, plain, kind, codec, depth, tier = struct.unpack_from("<IIIBBBB", line, 32)
            known = self.where.get(line[:32])
            if known is None or depth < known[3]:
                self.where[line[:32]] = (name, off, length, depth)

    def record(self, ident, kind):
        name, off, length, _ = self.where[ident]
        with open(name, "rb") as f:
            f.seek(off)
            rec = f.read(length)
        magic, got, codec, _, _, plain, stored = struct.unpack_from("<IBBBBII", rec, 16)
        assert magic == 0x3152454d and got in kind and rec[32:64] == ident and stored == length - 96
        return got, codec, plain, rec[64:96], rec[96:]

    def node(self, ident):
        body = self.record(ident, (NODE,))[4]
        mask, at, out = struct.unpack_from("<H", body)[0], 2, []
        for i in range(16):
            out.append(body[at:at + 32] if mask >> i & 1 else ZERO)
            at += 32 * (mask >> i & 1)
        return out

    def chunk(self, ident, length):
        if ident == ZERO:
            return bytes(length)
        kind, codec, plain, base, body = self.record(ident, (CHUNK, OVERLAY))
        assert plain == length
        leaves = -(-length // LEAF)
        body = body[32 * leaves:]
        if kind == CHUNK:
            return self.whole(codec, body, leaves)
        count, size = struct.unpack_from("<II", body)
        frags = [struct.unpack_from("<II", body, 8 + 8 * i) for i in range(count)]
        data = body[8 + 8 * count:]
        data = zstd(data) if codec else data        # frames one after another
        assert len(data) == size == sum(n for _, n in frags)
        out, at = bytearray(self.based(base, length)), 0
        for off, n in frags:
            out[off:off + n] = data[at:at + n]
            at += n
        return bytes(out)

    def based(self, base, length):
        """What an overlay lies on, in the length of what it makes."""
        if base == ZERO:
            return bytes(length)
        plain = self.record(base, (CHUNK, OVERLAY))[2]
        return self.chunk(base, plain)[:length].ljust(length, b"\0")

    @staticmethod
    def whole(codec, body, leaves):
        if codec == 0:
            return body
        lengths = struct.unpack_from("<%dI" % leaves, body)
        at, out = 4 * leaves, b""
        for n in lengths:
            out += zstd(body[at:at + n])
            at += n
        return out

    def chunks(self, top, height, count):
        """Ids of the chunks below a node, in order."""
        if height == 0:
            return [top]
        if top == ZERO:
            return [ZERO] * count
        out, below = [], 16 ** (height - 1)
        for child in self.node(top):
            out += self.chunks(child, height - 1, below)
        return out

    def disk(self, root, out):
        if root == ZERO:
            return
        size, height = struct.unpack_from("<QB", self.record(root, (ROOT,))[4])
        top = self.record(root, (ROOT,))[4][16:48]
        step = self.config["chunk_size"]
        for i, ident in enumerate(self.chunks(top, height, 16 ** height)[:-(-size // step)]):
            out.write(self.chunk(ident, min(step, size - i * step)))


def blake2b(data):
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def check_chain(where, seq):
    """Down from a record to the oldest that is there, over what was pruned."""
    there = sorted(int(f[:-5]) for f in os.listdir(where) if f.endswith(".json"))
    pruned = {}
    if os.path.exists(where + "/pruned"):
        with open(where + "/pruned") as f:
            pruned = {int(w[0]): w[1:] for w in map(str.split, f) if "-" not in w[0] and w[1] != "gone"}
    want = None
    while True:
        if seq in there:
            with open("%s/%d.json" % (where, seq), "rb") as f:
                text = f.read()
            chain, content = json.loads(text)["chain"].split(":")[1], blake2b(text)
            end = max([n for n in there if n < seq], default=0)
        else:
            chain, content = pruned[seq]
        link = blake2b(("%s %s\n" % (chain, content)).encode())
        assert want is None or link == want, "checkpoint %d was replaced" % seq
        if end == 0 and (seq > 1 or chain == ZERO.hex()):
            return
        # The longest step that does not lead too far.
        to = [(seq - 2 ** i, link) for i, link in enumerate(chain.split(",")) if seq - 2 ** i >= end]
        seq, want = to[-1]


def main():
    site, workload, seq, name = sys.argv[1:]
    check_chain("%s/catalog/%s" % (site, workload), int(seq))
    with open("%s/catalog/%s/%s.json" % (site, workload, seq)) as f:
        disk = [d for d in json.load(f)["disks"] if d["name"] == name][0]
    assert disk["point"] == "root:" + disk["root"]
    Site(site).disk(bytes.fromhex(disk["root"].split(":")[1]), sys.stdout.buffer)


main()
