import process from "node:process";
import { fileURLToPath } from "node:url";

/** A command that runs one of the programs here on the runtime of the test. */
export function program(file: string, ...args: string[]): string[] {
  const path = fileURLToPath(new URL(file, import.meta.url));
  return [process.execPath, ..."Deno" in globalThis ? ["run", "-A", path] : [path], ...args];
}
