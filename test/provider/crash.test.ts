import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { isDeno, isEnd, type TaskRecord } from "../../src/core/mod.ts";
import { ended } from "../contract-suites/task-fixtures.ts";
import { withFolder } from "../storage/temp-folder.ts";
import { answer, context, inputOf, MAX_ATTEMPTS, openCrashNode, specOf } from "./crash-node.ts";

const ROUNDS = 50;

interface Said {
  readonly ready?: string;
  readonly submitted?: string;
  readonly done?: string;
  readonly output?: string;
}

/**
 * Runs a node and kills it: mostly a few milliseconds after it has said a number of things, so that it gets somewhere however
 * busy the machine is, and now and then some time after its start, in the middle of its recovery. Returns what it said.
 */
async function killedNode(folder: string, round: number): Promise<Said[]> {
  const script = fileURLToPath(new URL("./crash-node.ts", import.meta.url));
  const args = [...(isDeno ? ["run", "-A", "--no-check"] : []), script, folder, String(round)];
  const node = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const kill = () => node.kill("SIGKILL");
  let timer: NodeJS.Timeout | undefined;
  if (round % 5 === 0) timer = setTimeout(kill, 50 + Math.random() * 400);
  const enough = 1 + Math.floor(Math.random() * 40);
  let text = "";
  for await (const piece of node.stdout.setEncoding("utf8")) {
    text += piece;
    if (text.split("\n").length > enough) timer ??= setTimeout(kill, Math.random() * 6);
  }
  clearTimeout(timer);
  // The last line may have been cut by the end.
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

test(`a node that is killed ${ROUNDS} times loses nothing it acknowledged and repeats nothing it finished`, () =>
  withFolder(async (folder) => {
    const submitted: string[] = [];
    const done = new Map<string, number>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const said of await killedNode(folder, round)) {
        if (said.submitted !== undefined) submitted.push(said.submitted);
        if (said.done === undefined) continue;
        done.set(said.done, round);
        assert.equal(said.output, answer(inputOf(said.done)));
      }
    }
    assert(submitted.length > ROUNDS && done.size > ROUNDS, `too little happened: ${submitted.length}, ${done.size}`);

    const { store, provider } = await openCrashNode(folder, ROUNDS);
    await provider.recover();
    const records: TaskRecord[] = [];
    for (let pageToken = "";;) {
      const page = await provider.list({ states: [], pageSize: 1000, pageToken }, context);
      records.push(...page.tasks);
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    const known = new Set(records.map(({ id }) => id));
    for (const id of [...submitted, ...done.keys()]) assert(known.has(id), `${id} was acknowledged and is lost`);

    let outputBytes = 0;
    for (const { id } of records) {
      const record = await ended(provider, id, context);
      assert(isEnd(record.state));
      if (record.state === "succeeded") {
        const { output } = await provider.output(id, context);
        assert.equal(new TextDecoder().decode(output), answer(inputOf(id)), id);
        outputBytes += output.length;
      } else {
        assert.deepEqual([record.state, record.reason, record.attempts], ["failed", "interrupted", MAX_ATTEMPTS], id);
        assert.equal(done.has(id), false, `${id} was finished and now has failed`);
      }
    }
    for (const id of done.keys()) assert.equal((await provider.run(specOf(id), context)).replayed, true);
    assert.deepEqual(store.tasks.totals(), { tasks: records.length, inputBytes: 0, outputBytes });
    await provider.close();
    await store.close();

    const runs = new Map<string, number[]>();
    for (const line of readFileSync(`${folder}/runs`, "utf8").trim().split("\n")) {
      const [id, round] = line.split(" ");
      runs.set(id!, [...runs.get(id!) ?? [], Number(round)]);
    }
    for (const [id, rounds] of runs) {
      assert(rounds.length <= MAX_ATTEMPTS, `${id} was begun ${rounds.length} times`);
      assert.equal(new Set(rounds).size, rounds.length, `${id} was begun twice by one process`);
      const end = done.get(id);
      if (end !== undefined) assert(rounds.every((round) => round <= end), `${id} ran again after it had finished`);
    }
  }));
