import assert from "node:assert/strict";
import { PluginMeters } from "../../src/plugins/plugin-meters.ts";
import { test } from "../testing.ts";

const outcome = (gpuMicros?: number) => ({
  output: new Uint8Array(0),
  contentType: "",
  usage: {
    wallMicros: 10,
    inputBytes: 0,
    outputBytes: 0,
    instructions: 7,
    ...(gpuMicros !== undefined && { gpuMicros }),
  },
});

test("meters add up by plugin and version, count failures apart, and forget what was removed", () => {
  const meters = new PluginMeters();
  assert.equal(meters.of("a@1.0.0"), undefined);
  meters.succeeded("a@1.0.0", outcome());
  meters.succeeded("a@1.0.0", outcome(4));
  meters.failed("a@1.0.0");
  meters.failed("a@2.0.0");
  const before = meters.of("a@1.0.0");
  assert.deepEqual(before, { calls: 3, failed: 1, wallMicros: 20, instructions: 14, gpuMicros: 4 });
  assert.deepEqual(meters.of("a@2.0.0"), { calls: 1, failed: 1, wallMicros: 0, instructions: 0, gpuMicros: 0 });
  meters.failed("a@1.0.0");
  assert.equal(before!.calls, 3, "what was given does not move");
  meters.forget("a@1.0.0");
  assert.equal(meters.of("a@1.0.0"), undefined);
});
