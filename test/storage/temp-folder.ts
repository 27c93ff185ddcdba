import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Gives a folder of its own to `body`, and removes it afterwards. */
export async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "velas-test-"));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Gives a file system of its own, of `sizeMiB`, to `body`. Needs the right to mount. */
export function withSmallDisk(sizeMiB: number, body: (disk: string) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeMiB}m`, "tmpfs", folder]);
    try {
      await body(folder);
    } finally {
      execFileSync("umount", ["--lazy", folder]);
    }
  });
}

/** Makes a mounted file system read-only, or writable again. */
export function remount(disk: string, mode: "ro" | "rw"): void {
  execFileSync("mount", ["-o", `remount,${mode}`, disk]);
}
