# Reads of an export compared with a file, by a client that is not ours.
#   nbd_reads.py URI FILE random N SEED   N reads of any size at any place, 16 in flight
#   nbd_reads.py URI FILE blocks SIZE     one after another; prints how many failed
# Bytes that differ are a failure; what cannot be read is allowed in `blocks'.
import random, sys
import nbd

uri, path, how, arg = sys.argv[1:5]
data = open(path, "rb").read()
h = nbd.NBD()
h.connect_uri(uri)
assert h.get_size() == len(data), (h.get_size(), len(data))


def same(off, buf):
    assert bytes(buf) == data[off:off + len(buf)], "other bytes at %d" % off


if how == "random":
    rnd = random.Random(int(sys.argv[5]))
    left, flying = int(arg), []
    while left or flying:
        while left and len(flying) < 16:
            left -= 1
            n = rnd.choice([1, 511, 512, 4096, 65536, 70000, 300000])
            off = rnd.randrange(len(data))
            if rnd.random() < 0.5:
                off -= off % 4096
            buf = nbd.Buffer(min(n, len(data) - off))
            flying.append((h.aio_pread(buf, off), off, buf))
        cookie, off, buf = flying.pop(0)
        while not h.aio_command_completed(cookie):
            h.poll(-1)
        same(off, buf.to_bytearray())
else:
    size, failed = int(arg), 0
    for off in range(0, len(data), size):
        try:
            same(off, h.pread(min(size, len(data) - off), off))
        except nbd.Error as e:
            assert e.errno == "EIO", e.errno
            failed += 1
    print(failed)
h.shutdown()
