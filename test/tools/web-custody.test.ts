import assert from "node:assert/strict";
import { standingOf } from "../../web/src/custody.ts";
import type { CustodyStatement } from "../../web/src/api-types.ts";
import { test } from "../testing.ts";

const NOW = Date.UTC(2027, 1, 14);
const at = (ms: number) => new Date(NOW + ms).toISOString();
const HELD: CustodyStatement = {
  id: "0x1",
  role: "requester",
  provider: "0x2",
  requester: "0x3",
  shard: "0f",
  expiresAt: at(1),
  penalty: "7",
  lost: false,
  released: false,
};

test("a custody statement's standing tells what to do about it, and until when", () => {
  const cases: readonly (readonly [Partial<CustodyStatement>, string, string?])[] = [
    [{}, "held"],
    [{ expiresAt: at(0) }, "over"],
    [{ lost: true }, "lost", "challenge"],
    [{ lost: true, expiresAt: at(0) }, "over"],
    [{ lost: true, challenge: { state: "open", deadline: at(1) } }, "challenged"],
    [{ lost: true, challenge: { state: "open", deadline: at(0) } }, "unanswered", "slash"],
    // A challenge may come with the last second of a statement.
    [{ lost: true, expiresAt: at(-1), challenge: { state: "open", deadline: at(0) } }, "unanswered", "slash"],
    [{ lost: true, challenge: { state: "answered" } }, "answered"],
    [{ lost: true, challenge: { state: "slashed" } }, "slashed"],
    [{ lost: true, challenge: { state: "done" } }, "ended"],
    [{ role: "provider" }, "bound"],
    [{ role: "provider", released: true }, "released"],
    [{ role: "provider", expiresAt: at(0) }, "over"],
  ];
  for (const [change, word, action] of cases) {
    const standing = standingOf({ ...HELD, ...change }, NOW);
    assert.equal(standing.word, word, JSON.stringify(change));
    assert.equal(standing.action, action, JSON.stringify(change));
    assert.notEqual(standing.todo, "");
  }
});
