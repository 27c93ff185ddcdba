import assert from "node:assert/strict";
import fc from "fast-check";
import { FrameWalk } from "../../src/http2/frame-walk.ts";
import { test } from "../testing.ts";

const LEAST_BYTES = 4096;

interface Frame {
  readonly length: number;
  readonly type: number;
  readonly flags: number;
}

/** Its header, before as many bytes of no meaning. */
function bytesOf({ length, type, flags }: Frame): Uint8Array {
  const bytes = new Uint8Array(9 + length);
  bytes.set([length >> 16, length >> 8, length, type, flags, 0, 0, 0, 1]);
  return bytes;
}

const frames = fc.array(
  fc.record({
    length: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 100 }), fc.integer({ min: 4000, max: 70_000 })),
    type: fc.constantFrom(0, 0, 0, 1, 8, 200),
    flags: fc.constantFrom(0, 1, 8, 9),
  }),
  { minLength: 1, maxLength: 8 },
);

for (const ofServer of [true, false]) {
  test(`all but large parts of bodies is told of what ${ofServer ? "a server" : "a client"} receives, however it is cut`, () => {
    const parts = fc.array(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 65_536 })), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(frames, parts, (list, sizes) => {
        const prefaceBytes = ofServer ? 24 : 0;
        const all = new Uint8Array(list.reduce((sum, { length }) => sum + 9 + length, prefaceBytes));
        // Where each body begins and ends.
        const bodies: [number, number][] = [];
        let at = prefaceBytes;
        for (const frame of list) {
          all.set(bytesOf(frame), at);
          if (frame.type === 0 && (frame.flags & 8) === 0) bodies.push([at + 9, at + 9 + frame.length]);
          at += 9 + frame.length;
        }
        const told = new Uint8Array(all.length);
        const walk = new FrameWalk(ofServer);
        const expected = new Uint8Array(all.length).fill(1);
        for (let from = 0, i = 0; from < all.length; i++) {
          const to = Math.min(all.length, from + sizes[i % sizes.length]!);
          walk.over(all.subarray(from, to), (begin, end) => told.fill(1, from + begin, from + end));
          for (const [begin, end] of bodies) {
            const [first, last] = [Math.max(begin, from), Math.min(end, to)];
            if (last - first >= LEAST_BYTES) expected.fill(0, first, last);
          }
          from = to;
        }
        assert.deepEqual(told, expected);
      }),
    );
  });
}
