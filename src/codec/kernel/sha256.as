// SHA-256 (FIPS 180-4) of four messages at once, one in each 32-bit lane of a vector. AssemblyScript; tools/build-kernel.ts
// builds it into ../kernel-bytes.ts. It hashes what the shards' Merkle trees are made of (docs/formats.md): 1 KiB leaves behind a
// 64-byte prefix, and pairs of digests. Each kind has one length, so the schedule of its padding block is made once.

/** Where the caller puts leaves or pairs of digests (64 KiB), and where it finds the digests (2 KiB). */
const INPUT: usize = 4096;
const OUTPUT: usize = INPUT + 65536;
/** The prefix of the first leaf; the caller writes its tag, `hashLeaves` the index of each leaf into its last eight bytes. */
const PREFIX: usize = OUTPUT + 2048;
/** The message schedule: 64 words of four lanes. */
const SCHEDULE: usize = PREFIX + 64;
/** The eight words of the state, four lanes each. */
const STATE: usize = SCHEDULE + 1024;
/** The schedules of the padding blocks after 1,088 and after 64 bytes. */
const LEAF_PADDING: usize = STATE + 128;
const NODE_PADDING: usize = LEAF_PADDING + 1024;

const LEAF_BYTES: usize = 1024;
const DIGEST_BYTES: usize = 32;

const K: usize = memory.data<u32>([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);
const INITIAL: usize = memory.data<u32>([
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
]);

export function inputAddress(): usize {
  return INPUT;
}

export function outputAddress(): usize {
  return OUTPUT;
}

export function prefixAddress(): usize {
  return PREFIX;
}

@inline
function rotateRight(x: v128, count: i32): v128 {
  return v128.or(i32x4.shr_u(x, count), i32x4.shl(x, 32 - count));
}

/** A word of the schedule from those 16, 15, 7 and 2 places before it. */
@inline
function word(w16: v128, w15: v128, w7: v128, w2: v128): v128 {
  const s0 = v128.xor(v128.xor(rotateRight(w15, 7), rotateRight(w15, 18)), i32x4.shr_u(w15, 3));
  const s1 = v128.xor(v128.xor(rotateRight(w2, 17), rotateRight(w2, 19)), i32x4.shr_u(w2, 10));
  return i32x4.add(i32x4.add(w16, w7), i32x4.add(s0, s1));
}

/** Extends the sixteen words at `schedule` to 64 (FIPS 180-4 section 6.2.2, step 1), four at a time. */
function extend(schedule: usize): void {
  const end = schedule + 48 * 16;
  let w2 = v128.load(schedule, 14 * 16);
  let w1 = v128.load(schedule, 15 * 16);
  for (let at = schedule; at < end; at += 4 * 16) {
    const w15 = v128.load(at, 16), w14 = v128.load(at, 2 * 16), w13 = v128.load(at, 3 * 16), w12 = v128.load(at, 4 * 16);
    const a = word(v128.load(at), w15, v128.load(at, 9 * 16), w2);
    const b = word(w15, w14, v128.load(at, 10 * 16), w1);
    const c = word(w14, w13, v128.load(at, 11 * 16), a);
    const d = word(w13, w12, v128.load(at, 12 * 16), b);
    v128.store(at, a, 16 * 16);
    v128.store(at, b, 17 * 16);
    v128.store(at, c, 18 * 16);
    v128.store(at, d, 19 * 16);
    w2 = c;
    w1 = d;
  }
}

/** T1 of a round (section 6.2.2, step 3). */
@inline
function t1(e: v128, f: v128, g: v128, h: v128, k: usize, w: usize, round: usize): v128 {
  const constant = v128.load32_splat(k + round * 4);
  const scheduled = v128.load(w + round * 16);
  const sum = v128.xor(v128.xor(rotateRight(e, 6), rotateRight(e, 11)), rotateRight(e, 25));
  const choice = v128.xor(g, v128.and(e, v128.xor(f, g)));
  return i32x4.add(i32x4.add(i32x4.add(constant, scheduled), h), i32x4.add(choice, sum));
}

/** T2 of a round, the majority of a, b and c being b ^ (ab & bc) with ab = a ^ b and bc = b ^ c, which was the ab of the round before. */
@inline
function t2(a: v128, b: v128, ab: v128, bc: v128): v128 {
  const sum = v128.xor(v128.xor(rotateRight(a, 2), rotateRight(a, 13)), rotateRight(a, 22));
  return i32x4.add(sum, v128.xor(b, v128.and(ab, bc)));
}

/** The 64 rounds over an extended schedule. */
function compress(schedule: usize): void {
  let a = v128.load(STATE, 0), b = v128.load(STATE, 16), c = v128.load(STATE, 32), d = v128.load(STATE, 48);
  let e = v128.load(STATE, 64), f = v128.load(STATE, 80), g = v128.load(STATE, 96), h = v128.load(STATE, 112);
  const end = K + 256;
  let w = schedule;
  let x = v128.xor(b, c), y = x;
  // Eight rounds bring each variable back to its place, so none has to be moved.
  for (let k = K; k < end; k += 32) {
    h = t1(e, f, g, h, k, w, 0); d = i32x4.add(d, h); x = v128.xor(a, b); h = i32x4.add(h, t2(a, b, x, y));
    g = t1(d, e, f, g, k, w, 1); c = i32x4.add(c, g); y = v128.xor(h, a); g = i32x4.add(g, t2(h, a, y, x));
    f = t1(c, d, e, f, k, w, 2); b = i32x4.add(b, f); x = v128.xor(g, h); f = i32x4.add(f, t2(g, h, x, y));
    e = t1(b, c, d, e, k, w, 3); a = i32x4.add(a, e); y = v128.xor(f, g); e = i32x4.add(e, t2(f, g, y, x));
    d = t1(a, b, c, d, k, w, 4); h = i32x4.add(h, d); x = v128.xor(e, f); d = i32x4.add(d, t2(e, f, x, y));
    c = t1(h, a, b, c, k, w, 5); g = i32x4.add(g, c); y = v128.xor(d, e); c = i32x4.add(c, t2(d, e, y, x));
    b = t1(g, h, a, b, k, w, 6); f = i32x4.add(f, b); x = v128.xor(c, d); b = i32x4.add(b, t2(c, d, x, y));
    a = t1(f, g, h, a, k, w, 7); e = i32x4.add(e, a); y = v128.xor(b, c); a = i32x4.add(a, t2(b, c, y, x));
    w += 8 * 16;
  }
  v128.store(STATE, i32x4.add(a, v128.load(STATE, 0)), 0);
  v128.store(STATE, i32x4.add(b, v128.load(STATE, 16)), 16);
  v128.store(STATE, i32x4.add(c, v128.load(STATE, 32)), 32);
  v128.store(STATE, i32x4.add(d, v128.load(STATE, 48)), 48);
  v128.store(STATE, i32x4.add(e, v128.load(STATE, 64)), 64);
  v128.store(STATE, i32x4.add(f, v128.load(STATE, 80)), 80);
  v128.store(STATE, i32x4.add(g, v128.load(STATE, 96)), 96);
  v128.store(STATE, i32x4.add(h, v128.load(STATE, 112)), 112);
}

function reset(): void {
  for (let word: usize = 0; word < 8; word++) v128.store(STATE + word * 16, v128.load32_splat(INITIAL + word * 4));
}

@inline
function swapBytes(x: v128): v128 {
  return i8x16.shuffle(x, x, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
}

/** Loads one 64-byte block of each of four messages that lie `stride` bytes apart, word by word into the schedule. */
function loadBlock(from: usize, stride: usize): void {
  for (let word: usize = 0; word < 16; word += 4) {
    const at = from + word * 4;
    transpose(
      v128.load(at),
      v128.load(at + stride),
      v128.load(at + 2 * stride),
      v128.load(at + 3 * stride),
      SCHEDULE + word * 16,
      16,
    );
  }
}

/** Transposes four vectors of four 32-bit words, swaps the bytes of each word, and stores the results `step` bytes apart. */
@inline
function transpose(r0: v128, r1: v128, r2: v128, r3: v128, to: usize, step: usize): void {
  const low01 = i32x4.shuffle(r0, r1, 0, 4, 1, 5);
  const low23 = i32x4.shuffle(r2, r3, 0, 4, 1, 5);
  const high01 = i32x4.shuffle(r0, r1, 2, 6, 3, 7);
  const high23 = i32x4.shuffle(r2, r3, 2, 6, 3, 7);
  v128.store(to, swapBytes(i64x2.shuffle(low01, low23, 0, 2)));
  v128.store(to + step, swapBytes(i64x2.shuffle(low01, low23, 1, 3)));
  v128.store(to + 2 * step, swapBytes(i64x2.shuffle(high01, high23, 0, 2)));
  v128.store(to + 3 * step, swapBytes(i64x2.shuffle(high01, high23, 1, 3)));
}

/** Writes the four digests one after the other. */
function storeDigests(to: usize): void {
  transpose(v128.load(STATE, 0), v128.load(STATE, 16), v128.load(STATE, 32), v128.load(STATE, 48), to, DIGEST_BYTES);
  transpose(v128.load(STATE, 64), v128.load(STATE, 80), v128.load(STATE, 96), v128.load(STATE, 112), to + 16, DIGEST_BYTES);
}

/** Makes the schedule of the last block of a message of `bytes` bytes, a multiple of 64. */
function preparePadding(schedule: usize, bytes: i32): void {
  memory.fill(schedule, 0, 16 * 16);
  v128.store(schedule, i32x4.splat(0x80000000));
  v128.store(schedule + 15 * 16, i32x4.splat(bytes * 8));
  extend(schedule);
}

/** To be called once. */
export function prepare(): void {
  preparePadding(LEAF_PADDING, 64 + <i32>LEAF_BYTES);
  preparePadding(NODE_PADDING, 2 * <i32>DIGEST_BYTES);
}

/**
 * Hashes `count` leaves of 1 KiB (at most 64) that have consecutive indices from `firstIndex` on. Lanes past the last leaf hash
 * whatever is there; their digests have no meaning.
 */
export function hashLeaves(count: i32, firstIndex: u64): void {
  for (let leaf = 0; leaf < count; leaf += 4) {
    reset();
    for (let word: usize = 0; word < 14; word++) {
      v128.store(SCHEDULE + word * 16, i32x4.splat(bswap(load<u32>(PREFIX + word * 4))));
    }
    for (let lane: usize = 0; lane < 4; lane++) {
      const index = firstIndex + <u64>leaf + <u64>lane;
      store<u32>(SCHEDULE + 14 * 16 + lane * 4, <u32>(index >> 32));
      store<u32>(SCHEDULE + 15 * 16 + lane * 4, <u32>index);
    }
    extend(SCHEDULE);
    compress(SCHEDULE);
    const from = INPUT + <usize>leaf * LEAF_BYTES;
    for (let block: usize = 0; block < LEAF_BYTES; block += 64) {
      loadBlock(from + block, LEAF_BYTES);
      extend(SCHEDULE);
      compress(SCHEDULE);
    }
    compress(LEAF_PADDING);
    storeDigests(OUTPUT + <usize>leaf * DIGEST_BYTES);
  }
}

/** Hashes `count` pairs of digests (at most 64) at `from` into as many digests at OUTPUT, which may be where the pairs are. */
@inline
function hashPairsAt(from: usize, count: i32): void {
  // Four pairs are read before their four digests are written, and those never reach past what was read.
  for (let pair = 0; pair < count; pair += 4) {
    reset();
    loadBlock(from + <usize>pair * 2 * DIGEST_BYTES, 2 * DIGEST_BYTES);
    extend(SCHEDULE);
    compress(SCHEDULE);
    compress(NODE_PADDING);
    storeDigests(OUTPUT + <usize>pair * DIGEST_BYTES);
  }
}

/** Hashes the `count` pairs of digests (at most 64) at INPUT. */
export function hashPairs(count: i32): void {
  hashPairsAt(INPUT, count);
}

/** Hashes `count` leaves (1 to 64) and the nodes above them up to the one that spans them all; an odd node moves up unchanged. */
export function hashSubtree(count: i32, firstIndex: u64): void {
  hashLeaves(count, firstIndex);
  let width = count;
  while (width > 1) {
    const odd = OUTPUT + <usize>(width - 1) * DIGEST_BYTES;
    const pairs = width >> 1;
    // The odd digest lies where lanes past the last pair may write, so it is kept aside.
    const low = v128.load(odd);
    const high = v128.load(odd, 16);
    hashPairsAt(OUTPUT, pairs);
    width = pairs + (width & 1);
    if (width > pairs) {
      v128.store(OUTPUT + <usize>pairs * DIGEST_BYTES, low);
      v128.store(OUTPUT + <usize>pairs * DIGEST_BYTES, high, 16);
    }
  }
}
