import assert from "node:assert/strict";
import type { Command } from "commander";
import { createProgram } from "../../src/cli/mod.ts";
import { silentContext } from "./silent-context.ts";

/** Parses a command line of ours, without its program's name, and runs no action. Fails with `line` when it does not parse. */
export async function parseOnly(words: readonly string[], line: string): Promise<void> {
  const program = createProgram(silentContext());
  const disarm = (command: Command): void => {
    if (command.parent !== null) command.action(() => {});
    command.commands.forEach(disarm);
  };
  disarm(program);
  await program.parseAsync([...words], { from: "user" }).catch((error) => assert.fail(`${line}: ${error.message}`));
}
