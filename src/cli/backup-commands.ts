import { createReadStream, createWriteStream } from "node:fs";
import { lstat, readFile, rename, rm, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import { NodeError } from "../core/mod.ts";
import { type ClientFlags, clientOf, withClientOptions, withExamples, withOutputOptions } from "./command.ts";
import type { CliContext } from "./context.ts";
import { showBytes } from "./progress.ts";
import { unreadable } from "./unreadable.ts";

/** The environment's word for the passphrase, for scripts. */
const PASSPHRASE_VARIABLE = "VELAS_SPHERE_BACKUP_PASSPHRASE";

interface BackupFlags extends ClientFlags {
  readonly force?: boolean;
  readonly passphraseFile?: string;
}

interface RestoreFlags {
  readonly dataDir: string;
  readonly passphraseFile?: string;
  readonly json?: boolean;
}

const PASSPHRASE_FLAG = [
  "--passphrase-file <path>",
  `a file with the passphrase (default: ${PASSPHRASE_VARIABLE})`,
] as const;

/** `velas-sphere backup` and `velas-sphere restore` */
export function addBackupCommands(program: Command, cli: CliContext): void {
  withExamples(
    withClientOptions(
      program.command("backup").summary("save a node's keys and what it knows of its files")
        .argument("<path>", "the backup to write; it appears when it is whole"),
    )
      .description(
        "Save the node key, the master key and the manifests of all files, encrypted with a passphrase, from a node that runs. " +
          "With it and the passphrase every file can be read from another machine; without both, nothing.",
      )
      .option(...PASSPHRASE_FLAG)
      .option("--force", "write over a file that is there")
      .action((path: string, flags: BackupFlags) => backup(cli, path, flags)),
    ["velas-sphere backup node.backup --passphrase-file ~/.velas-passphrase", "keep it elsewhere"],
    ["velas-sphere backup node.backup --force", "in place of an older one; the passphrase from the environment"],
  );
  withExamples(
    withOutputOptions(
      program.command("restore").summary("make a data directory from a backup")
        .argument("<path>", "the backup"),
    )
      .description(
        "Make a data directory from a backup, to be used by one node only: two nodes with one key would undo each other's work. " +
          "The directory must be empty or not be there.",
      )
      .requiredOption("--data-dir <path>", "the directory to make")
      .option(...PASSPHRASE_FLAG)
      .action((path: string, flags: RestoreFlags) => restore(cli, path, flags)),
    ["velas-sphere restore node.backup --data-dir ./data", "then: velas-sphere node --data-dir ./data"],
  );
}

async function backup(cli: CliContext, path: string, flags: BackupFlags): Promise<void> {
  const place = resolve(cli.cwd, path);
  // A backup of another node, or under another passphrase, may be the only one.
  if (flags.force !== true && await isThere(place)) {
    throw new NodeError(
      "already_exists",
      `${place} is there already: name another file, or write over it with --force`,
    );
  }
  const passphrase = await passphraseOf(cli, flags.passphraseFile);
  const { body } = await clientOf(cli, flags).open("POST", "/v1/backup", { json: { passphrase } });
  const part = `${place}.part`;
  try {
    await pipeline(body, createWriteStream(part, { mode: 0o600, flush: true }));
    await rename(part, place);
  } catch (cause) {
    await rm(part, { force: true });
    if (cause instanceof NodeError) throw cause;
    throw new NodeError("storage_failed", `The backup could not be written to ${place}: ${(cause as Error).message}`, {
      cause,
    });
  }
  const { size } = await stat(place);
  if (flags.json === true) cli.out.line(JSON.stringify({ path: place, sizeBytes: size }));
  else cli.out.line(`${place}  ${showBytes(size)}`);
}

async function isThere(path: string): Promise<boolean> {
  return await lstat(path).then(() => true, () => false);
}

async function restore(cli: CliContext, path: string, flags: RestoreFlags): Promise<void> {
  const dataDir = resolve(cli.cwd, flags.dataDir);
  const passphrase = await passphraseOf(cli, flags.passphraseFile);
  const { restoreBackup } = await import("../node.ts");
  const { files } = await restoreBackup(readable(resolve(cli.cwd, path)), { dataDir, passphrase });
  if (flags.json === true) cli.out.line(JSON.stringify({ dataDir, files }));
  else {cli.out.line(
      `${dataDir} has the keys and ${files} ${
        files === 1 ? "file" : "files"
      } now; start it with velas-sphere node --data-dir ${dataDir}`,
    );}
}

async function* readable(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path);
  } catch (cause) {
    if ((cause as { code?: unknown }).code === undefined || cause instanceof NodeError) throw cause;
    throw unreadable("backup", path, cause);
  }
}

/** The passphrase from where it was said to be. It is never an argument, which others can see. */
async function passphraseOf(cli: CliContext, file: string | undefined): Promise<string> {
  if (file !== undefined) {
    const path = resolve(cli.cwd, file);
    try {
      return (await readFile(path, "utf8")).replace(/\r?\n$/, "");
    } catch (cause) {
      throw unreadable("passphrase file", path, cause);
    }
  }
  const given = cli.env[PASSPHRASE_VARIABLE];
  if (given !== undefined && given !== "") return given;
  throw new NodeError(
    "invalid_argument",
    `A backup needs a passphrase: name a file (--passphrase-file) or set ${PASSPHRASE_VARIABLE}`,
  );
}
