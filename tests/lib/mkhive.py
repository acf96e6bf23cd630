# An empty registry hive on standard output: a base block, one bin with the
# root key and its security descriptor, the rest of the bin free.
# Offsets as in "Windows registry file format specification" (msuhanov/regf).
import struct
import sys

PAGE, ROOT = 4096, 0x20
NIL = 0xFFFFFFFF


def cell(data):
    size = -(-(len(data) + 4) // 8) * 8
    return struct.pack("<i", -size) + data.ljust(size - 4, b"\0")


def key_node(name, security):
    fields = struct.pack("<2sHQI", b"nk", 0x2C, 0, 0)        # root key, compressed name
    fields += struct.pack("<IIIII", ROOT, 0, 0, NIL, NIL)    # parent, subkeys and their lists
    fields += struct.pack("<IIII", 0, NIL, security, NIL)    # values, security, class
    fields += struct.pack("<IIIIIHH", 0, 0, 0, 0, 0, len(name), 0)
    return fields + name


def security_key(offset):
    descriptor = struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 0)
    return struct.pack("<2sHIIII", b"sk", 0, offset, offset, 1, len(descriptor)) + descriptor


root = cell(key_node(b"ROOT", 0))
security = ROOT + len(root)
cells = cell(key_node(b"ROOT", security)) + cell(security_key(security))
free = PAGE - 0x20 - len(cells)
hbin = struct.pack("<4sIIQQI", b"hbin", 0, PAGE, 0, 0, 0) + cells + struct.pack("<i", free).ljust(free, b"\0")

base = bytearray(PAGE)
struct.pack_into("<4sIIQIIIIIII", base, 0, b"regf", 1, 1, 0, 1, 3, 0, 1, ROOT, len(hbin), 1)
check = 0
for (word,) in struct.iter_unpack("<I", base[:508]):
    check ^= word
struct.pack_into("<I", base, 508, check)
sys.stdout.buffer.write(bytes(base) + hbin)
