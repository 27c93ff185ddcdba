/** What the errors of a real node tell its user to do next. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { scratch, startNode } from "../e2e/harness.ts";
import { runHere } from "./harness.ts";
import { test } from "../testing.ts";

/** Nobody can listen there. */
const NOBODY = "127.0.0.1:1";
const TASK = ["demo", "greet", "hello"];

const ERRORS = [
  {
    words: /There is no plugin "absent@?[0-9.]*" here; this node has .*demo@\d+\.\d+\.\d+/,
    code: 4,
    commands: [
      ...["show", "enable", "disable", "remove"].map((verb) => ["plugins", verb, "absent"]),
      ["plugins", "show", "absent@1.0.0"],
    ],
  },
  {
    words: /Nothing listens at 127\.0\.0\.1:1 \(ECONNREFUSED\): start a node there .*rpc\.listen.* another target/,
    code: 10,
    commands: [
      ["task", "run", ...TASK, "--target", NOBODY],
      ["task", "run", ...TASK, "--target", NOBODY, "--json"],
      ["task", "list", "--target", NOBODY],
      ...["get", "watch", "output", "cancel"].map((verb) => ["task", verb, "t1", "--target", NOBODY]),
      ["info", NOBODY],
    ],
  },
  {
    words: /id: choose 1 to 128 of the characters A-Z a-z 0-9 \. _ ~ : - \(invalid_argument\)$/m,
    code: 2,
    commands: [
      ["task", "run", ...TASK, "--id", "a b"],
      ["task", "submit", ...TASK, "--id", "a/b"],
      ...["get", "watch", "output", "receipt", "cancel"].map((verb) => ["task", verb, "a b"]),
    ],
  },
];

test("an unknown plugin, a target that is down and a task id that cannot be are told with what would do", async (t) => {
  const { rest } = await startNode(t, { dataDir: join(scratch(t), "data") });
  for (const { words, code, commands } of ERRORS) {
    for (const command of commands) {
      const ended = await runHere([...command, "--url", rest]);
      assert.equal(ended.code, code, command.join(" "));
      assert.match(ended.stderr, words, command.join(" "));
    }
  }
});
