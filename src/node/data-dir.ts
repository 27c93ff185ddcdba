import { constants } from "node:fs";
import { access, mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { NodeError } from "../core/mod.ts";

/** Makes the data directory, which only its owner may read. Throws `storage_failed` with the reason. */
export async function makeDataDir(path: string): Promise<void> {
  try {
    await makeFolders(path);
  } catch (error) {
    const cause = await reasonAbove(path) ?? error;
    throw new NodeError(
      "storage_failed",
      `Cannot make the data directory ${path}: ${
        (cause as Error).message
      }. Set node.dataDir to a folder that can be written`,
      { cause, data: { path } },
    );
  }
}

/** Like `mkdir` with `recursive`, which on Node never ends where a folder that is there takes none, as `/proc` does. */
async function makeFolders(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && (await stat(path)).isDirectory()) return;
    const above = dirname(path);
    if (code !== "ENOENT" || await isThere(above)) throw error;
    await makeFolders(above);
    await makeFolders(path);
  }
}

const isThere = (path: string) => access(path).then(() => true, (error) => error.code !== "ENOENT");

/** Why nothing can be made below the nearest folder that is there: mkdir says ENOENT on a read-only file system. */
async function reasonAbove(path: string): Promise<unknown> {
  for (let folder = dirname(path);; folder = dirname(folder)) {
    try {
      await access(folder, constants.W_OK);
      return undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || folder === dirname(folder)) return error;
    }
  }
}
