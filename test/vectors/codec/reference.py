"""Writes the vectors of docs/formats.md, beside this file, from an implementation of that page that shares nothing with src/codec.

It is slow and short on purpose: field products by shift and add, no tables; trees by recursion; whole files in memory. It needs Python
3.11 and PyPI's `cryptography`. With --check, writes nothing and fails when a file differs.
"""

import functools
import hashlib
import hmac
import json
import pathlib
import sys
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CELL, TAG, LEAF = 65536, 16, 1024
PLAIN = CELL - TAG


def sha256(data):
    return hashlib.sha256(data).digest()


def stream(label, length):
    """Test bytes: SHA-256(label, number of the block) after one another."""
    blocks = (sha256(label.encode() + i.to_bytes(4, "big")) for i in range(-(-length // 32)))
    return b"".join(blocks)[:length]


# Field and code


@functools.cache
def times(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11D
        b >>= 1
    return product


@functools.cache
def inverse(a):
    return next(b for b in range(1, 256) if times(a, b) == 1)


def cauchy(row, column):
    return inverse((255 - row) ^ column)


@functools.cache
def coefficient(row, column):
    scale = times(cauchy(0, 0), inverse(times(cauchy(0, column), cauchy(row, 0))))
    return times(cauchy(row, column), scale)


def parity(data, count):
    blocks = []
    for row in range(count):
        block = 0
        for column, source in enumerate(data):
            products = bytes(times(coefficient(row, column), x) for x in range(256))
            block ^= int.from_bytes(source.translate(products), "big")
        blocks.append(block.to_bytes(len(data[0]), "big"))
    return blocks


# Tree


def leaf_digest(leaf, index):
    prefix = b"velas-sphere/1 leaf".ljust(56, b"\0") + index.to_bytes(8, "big")
    return sha256(prefix + leaf)


def split_of(count):
    """The left subtree is the largest power of two below the count: what pairing level by level comes to."""
    split = 1
    while split * 2 < count:
        split *= 2
    return split


def tree(digests):
    if len(digests) == 1:
        return digests[0]
    split = split_of(len(digests))
    return sha256(tree(digests[:split]) + tree(digests[split:]))


def digests_of(data):
    return [leaf_digest(data[i * LEAF : (i + 1) * LEAF], i) for i in range(len(data) // LEAF)]


def range_proof(digests, first, end):
    proof = []
    nodes = digests
    while len(nodes) > 1:
        if first % 2:
            proof.append(nodes[first - 1])
        if end % 2 and end < len(nodes):
            proof.append(nodes[end])
        nodes = [sha256(nodes[i] + nodes[i + 1]) if i + 1 < len(nodes) else nodes[i] for i in range(0, len(nodes), 2)]
        first, end = first // 2, -(-end // 2)
    return b"".join(proof)


# Keys, header, cells, mask


def hkdf(secret, salt, info):
    pseudo_random_key = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(pseudo_random_key, info.encode() + b"\x01", "sha256")


def wrap(key, context, file_key):
    return AESGCM(key).encrypt(bytes(12), file_key, context)


def header_core(file_id):
    return b"VSPHEAD\x01\x01" + file_id


def master_stanza(master_key, salt, context, file_key):
    key_id = hkdf(master_key, b"", "velas-sphere/1 master key id")[:8]
    wrapped = wrap(hkdf(master_key, salt, "velas-sphere/1 wrap master"), context, file_key)
    return b"\x01" + (88).to_bytes(2, "big") + key_id + salt + wrapped


def x25519_stanza(public_key, ephemeral_secret, context, file_key):
    secret = X25519PrivateKey.from_private_bytes(ephemeral_secret)
    ephemeral = secret.public_key().public_bytes_raw()
    shared = secret.exchange(X25519PublicKey.from_public_bytes(public_key))
    wrapped = wrap(hkdf(shared, ephemeral + public_key, "velas-sphere/1 wrap x25519"), context, file_key)
    return b"\x02" + (80).to_bytes(2, "big") + ephemeral + wrapped


def header(file_key, file_id, stanzas):
    body = header_core(file_id) + bytes([len(stanzas)]) + b"".join(stanzas)
    return body + hmac.digest(hkdf(file_key, file_id, "velas-sphere/1 header"), body, "sha256")


def seal(file_key, file_id, data):
    key = AESGCM(hkdf(file_key, file_id, "velas-sphere/1 payload"))
    header_hash = sha256(header_core(file_id))
    cells = [data[i : i + PLAIN] for i in range(0, len(data), PLAIN)] or [b""]
    sealed = b""
    for i, cell in enumerate(cells):
        nonce = i.to_bytes(11, "big") + bytes([i == len(cells) - 1])
        sealed += key.encrypt(nonce, cell, header_hash)
    return sealed


def mask_key(file_key, file_id, shard):
    return hkdf(file_key, file_id, f"velas-sphere/1 mask {shard}")


def mask(key, data):
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(data)


def shards(file_key, file_id, data, k, m):
    sealed = seal(file_key, file_id, data)
    out = [b""] * (k + m)
    for at in range(0, len(sealed), k * CELL):
        stripe = sealed[at : at + k * CELL]
        block = -(-len(stripe) // (k * LEAF)) * LEAF
        stripe = stripe.ljust(k * block, b"\0")
        blocks = [stripe[i * block : (i + 1) * block] for i in range(k)]
        for i, piece in enumerate(blocks + parity(blocks, m)):
            out[i] += piece
    return [mask(mask_key(file_key, file_id, i), shard) for i, shard in enumerate(out)]


def manifest(file_key, value, header_bytes):
    def short(text):
        return bytes([len(text)]) + text.encode()

    name = value["name"].encode()
    body = b"VSPHMAN\x01" + bytes.fromhex(value["fileId"]) + value["version"].to_bytes(4, "big")
    body += value["createdAtMs"].to_bytes(8, "big") + value["sizeBytes"].to_bytes(8, "big")
    body += bytes([value["dataShards"], value["parityShards"]])
    body += len(name).to_bytes(2, "big") + name + short(value["contentType"])
    body += len(header_bytes).to_bytes(2, "big") + header_bytes
    for shard in value["shards"]:
        body += bytes.fromhex(shard["root"]) + bytes([len(shard["providers"])])
        body += b"".join(short(provider) for provider in shard["providers"])
    key = hkdf(file_key, bytes.fromhex(value["fileId"]), "velas-sphere/1 manifest")
    body += hmac.digest(key, body, "sha256")
    return body + sha256(body)


# The vectors

FILE_ID, FILE_KEY, MASTER_KEY = stream("file id", 16), stream("file key", 32), stream("master key", 32)
X25519_SECRET = stream("x25519 secret", 32)
X25519_PUBLIC = X25519PrivateKey.from_private_bytes(X25519_SECRET).public_key().public_bytes_raw()
SIZES = [0, 1, 1000, PLAIN - 1, PLAIN, PLAIN + 1, 4 * PLAIN - 1, 4 * PLAIN, 4 * PLAIN + 1, 600_000]


def erasure_vectors():
    cases = []
    for k, m in [(1, 0), (1, 3), (2, 1), (4, 2), (3, 3), (10, 4), (10, 10), (32, 32)]:
        data = [stream(f"erasure {k}+{m} {i}", 100) for i in range(k)]
        cases.append({"dataShards": k, "parityShards": m, "data": [d.hex() for d in data], "parity": [p.hex() for p in parity(data, m)]})
    coefficients = [[coefficient(row, column) for column in range(32)] for row in range(32)]
    return {"coefficients": coefficients, "cases": cases}


def tree_vectors():
    cases = []
    for count in [1, 2, 3, 4, 5, 7, 8, 63, 64, 65, 100, 127, 128, 129, 191, 192, 193, 320, 1000]:
        digests = digests_of(stream("tree", count * LEAF))
        ranges = {(0, 1), (count - 1, count), (0, count), (count // 3, count // 3 + 1), (count // 4, -(-count * 3 // 4)), (count - count % 64, count)}
        proofs = [
            {"first": a, "end": b, "proof": range_proof(digests, a, b).hex()} for a, b in sorted(ranges) if a < b
        ]
        cases.append({"leafCount": count, "root": tree(digests).hex(), "proofs": proofs})
    far = [{"index": i, "digest": leaf_digest(stream("far leaf", LEAF), i).hex()} for i in [0, 1, 2**32 - 1, 2**32, 2**34 - 1]]
    return {"label": "tree", "cases": cases, "farLeaves": {"label": "far leaf", "digests": far}}


def key_vectors():
    names = ["payload", "header", "manifest"]
    return {
        "fileKey": FILE_KEY.hex(),
        "fileId": FILE_ID.hex(),
        "keys": {name: hkdf(FILE_KEY, FILE_ID, f"velas-sphere/1 {name}").hex() for name in names},
        "maskKeys": {str(i): mask_key(FILE_KEY, FILE_ID, i).hex() for i in [0, 1, 5, 10, 63]},
        "masterKey": MASTER_KEY.hex(),
        "masterKeyId": hkdf(MASTER_KEY, b"", "velas-sphere/1 master key id")[:8].hex(),
        "passphrases": [
            {
                "passphrase": passphrase,
                "salt": stream("scrypt", 16).hex(),
                "logN": 12,
                "masterKey": hashlib.scrypt(normal.encode(), salt=stream("scrypt", 16), n=1 << 12, r=8, p=1, dklen=32, maxmem=1 << 26).hex(),
            }
            for passphrase, normal in [("correct horse battery staple", "correct horse battery staple"), ("u\u0308ber", "\u00fcber")]
        ],
    }


def header_vectors():
    context = header_core(FILE_ID)
    salt, ephemeral = stream("salt", 32), stream("ephemeral", 32)
    stanzas = [master_stanza(MASTER_KEY, salt, context, FILE_KEY), x25519_stanza(X25519_PUBLIC, ephemeral, context, FILE_KEY)]
    return {
        "fileKey": FILE_KEY.hex(),
        "fileId": FILE_ID.hex(),
        "masterKey": MASTER_KEY.hex(),
        "x25519SecretKey": X25519_SECRET.hex(),
        "x25519PublicKey": X25519_PUBLIC.hex(),
        "random": [salt.hex(), ephemeral.hex()],
        "hash": sha256(context).hex(),
        "header": header(FILE_KEY, FILE_ID, stanzas).hex(),
        "masterOnly": header(FILE_KEY, FILE_ID, stanzas[:1]).hex(),
    }


def cell_vectors():
    cases = []
    for size in [0, 1, 100, PLAIN - 1, PLAIN, PLAIN + 1, 3 * PLAIN]:
        sealed = seal(FILE_KEY, FILE_ID, stream("cells", size))
        case = {"sizeBytes": size, "sealedBytes": len(sealed), "sha256": sha256(sealed).hex()}
        if len(sealed) < 200:
            case["sealed"] = sealed.hex()
        cases.append(case)
    key = AESGCM(hkdf(FILE_KEY, FILE_ID, "velas-sphere/1 payload"))
    far = []
    for index, last in [(0, False), (2**32, False), (2**40 + 5, True)]:
        nonce = index.to_bytes(11, "big") + bytes([last])
        far.append({"index": index, "last": last, "sealed": key.encrypt(nonce, b"far", sha256(header_core(FILE_ID))).hex()})
    return {"label": "cells", "fileKey": FILE_KEY.hex(), "fileId": FILE_ID.hex(), "cases": cases, "far": {"plaintext": b"far".hex(), "cells": far}}


def mask_vectors():
    key = mask_key(FILE_KEY, FILE_ID, 3)
    near = [{"offset": at, "keystream": mask(key, bytes(at + 40))[at:].hex()} for at in [0, 1, 15, 16, 17, 65535, 65536]]
    far = []
    for offset in [2**36, 2**40 + 16]:
        counter = (offset // 16).to_bytes(16, "big")
        far.append({"offset": offset, "keystream": Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor().update(bytes(40)).hex()})
    return {"key": key.hex(), "cases": near + far}


def layout_vectors():
    cases = []
    sizes = SIZES + [10 * PLAIN, 10**9, 2**40, 2**43]
    for k, m in [(1, 0), (1, 2), (3, 1), (4, 2), (10, 10), (32, 32)]:
        for size in sizes:
            cells = max(1, -(-size // PLAIN))
            sealed = size + cells * TAG
            stripes = -(-sealed // (k * CELL))
            rest = sealed - (stripes - 1) * k * CELL
            last = -(-rest // (k * LEAF)) * LEAF
            shard = (stripes - 1) * CELL + last
            cases.append(
                {
                    "sizeBytes": size,
                    "dataShards": k,
                    "parityShards": m,
                    "cells": cells,
                    "sealedBytes": sealed,
                    "stripes": stripes,
                    "lastBlockBytes": last,
                    "shardBytes": shard,
                    "leafCount": shard // LEAF,
                }
            )
    return {"cases": cases}


def file_vectors():
    cases = []
    for k, m in [(1, 0), (1, 2), (2, 1), (4, 2), (10, 4)]:
        for size in SIZES:
            made = shards(FILE_KEY, FILE_ID, stream("file", size), k, m)
            cases.append(
                {
                    "sizeBytes": size,
                    "dataShards": k,
                    "parityShards": m,
                    "shardBytes": len(made[0]),
                    "shards": [{"sha256": sha256(s).hex(), "root": tree(digests_of(s)).hex()} for s in made],
                }
            )
    return {"label": "file", "fileKey": FILE_KEY.hex(), "fileId": FILE_ID.hex(), "cases": cases}


def manifest_vectors():
    header_bytes = bytes.fromhex(header_vectors()["header"])
    cases = []
    for size, k, m, name, content_type, version in [
        (600_000, 4, 2, "video/trip \U0001f6b2.mp4", "video/mp4", 1),
        (0, 1, 0, "x", "", 2**32 - 1),
        (2**43, 10, 10, "n" * 4096, "a" * 255, 7),
    ]:
        value = {
            "fileId": FILE_ID.hex(),
            "version": version,
            "createdAtMs": 1_790_000_000_123,
            "sizeBytes": size,
            "dataShards": k,
            "parityShards": m,
            "name": name,
            "contentType": content_type,
            "shards": [
                {"root": sha256(bytes([i])).hex(), "providers": ["0x%040x" % i, "node-%d.example:8081" % i][: i % 3]}
                for i in range(k + m)
            ],
        }
        cases.append({**value, "bytes": manifest(FILE_KEY, value, header_bytes).hex()})
    return {"fileKey": FILE_KEY.hex(), "header": header_bytes.hex(), "cases": cases}


VECTORS = {
    "erasure": erasure_vectors,
    "tree": tree_vectors,
    "keys": key_vectors,
    "header": header_vectors,
    "cells": cell_vectors,
    "mask": mask_vectors,
    "layout": layout_vectors,
    "file": file_vectors,
    "manifest": manifest_vectors,
}

stale = []
for name, make in VECTORS.items():
    path = pathlib.Path(__file__).with_name(f"{name}.json")
    text = json.dumps(make(), indent=2, ensure_ascii=True) + "\n"
    if "--check" not in sys.argv:
        path.write_text(text)
    elif not path.exists() or path.read_text() != text:
        stale.append(path.name)
if stale:
    sys.exit(f"Not what reference.py writes: {', '.join(stale)}")
