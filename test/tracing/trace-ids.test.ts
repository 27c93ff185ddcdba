import assert from "node:assert/strict";
import { TraceIds } from "../../src/tracing/trace-ids.ts";
import { test } from "../testing.ts";

test("ids have the digits that W3C Trace Context asks for, and none comes twice", () => {
  const ids = new TraceIds();
  const seen = new Set<string>();
  for (let i = 0; i < 5000; i++) {
    const [trace, span] = [ids.trace(), ids.span()];
    assert.match(trace, /^[0-9a-f]{32}$/);
    assert.match(span, /^[0-9a-f]{16}$/);
    seen.add(trace.slice(0, 16)).add(trace.slice(16)).add(span);
  }
  assert.equal(seen.size, 15_000);
});
