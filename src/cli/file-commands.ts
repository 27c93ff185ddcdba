import { createWriteStream } from "node:fs";
import { readFile, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { NodeError, type Unshared } from "../core/mod.ts";
import { type ClientFlags, clientOf, integerOption, withClientOptions, withExamples } from "./command.ts";
import type { CliContext } from "./context.ts";
import { catFile, type CatFlags, getFile, type GetFlags } from "./file-get.ts";
import { everyFile, filePage, findFile, versionsOf } from "./file-place.ts";
import { putFile, type PutFlags } from "./file-put.ts";
import { type FileJson, type HealthJson, showFile, showFiles, showHealth, showHealthLine } from "./file-view.ts";
import { printable } from "./terminal.ts";
import { unreadable } from "./unreadable.ts";

const FILE_ARGUMENT = "the file's name, or the id of a version";

interface VersionFlags extends ClientFlags {
  readonly version?: number;
}

interface ListFlags extends ClientFlags {
  readonly folders?: boolean;
  readonly allVersions?: boolean;
  readonly limit: number;
  readonly pageToken?: string;
  readonly all?: boolean;
}

/** `velas-sphere file …` */
export function addFileCommands(program: Command, cli: CliContext): void {
  const file = program.command("file").summary("keep files on other nodes").description(
    "Keep files, encrypted and spread over other nodes, and read them back, whole or in part.",
  );
  addTransferCommands(file, cli);
  addNameCommands(file, cli);
  addManifestCommands(file, cli);
  addCareCommands(file, cli);
}

function addTransferCommands(file: Command, cli: CliContext): void {
  withExamples(
    withClientOptions(
      file.command("put").summary("put a file")
        .argument("<path>", "the local file; - is standard input")
        .argument("[name]", "the name to keep it under (default: its own); one that ends in / is a folder for it"),
    )
      .description(
        "Put a file. A name that is taken gets a new version. Returns when enough shards are durable to lose one.",
      )
      .option("--policy <data+parity>", "how to spread it, such as 4+2, 10+10, or 1+2 for three copies", policyOption)
      .option(
        "--provider <host:port...>",
        "nodes to use (default: the node's own choice); with one, all shards go there",
      )
      .option("--allow-fewer", "take fewer distinct nodes than shards rather than fail")
      .option("--content-type <type>", "media type (default: what the name's ending tells)")
      .option("--resume [id]", "go on with an interrupted upload of this name; send the same bytes")
      .addOption(
        new Option("--wait <state>", "return only when it is as safe as this").choices(["replicated", "proven"]),
      )
      .action((path: string, name: string | undefined, flags: PutFlags) => putFile(cli, { path, name, flags })),
    ["velas-sphere file put cat.jpg", "under its own name, 4+2"],
    ["velas-sphere file put cat.jpg photos/ --policy 10+10", "as photos/cat.jpg, spread widely"],
    ["tar c folder | velas-sphere file put - folder.tar", "from a pipe"],
    ["velas-sphere file put film.mkv --resume", "go on after an interruption"],
  );

  withExamples(
    withFile(file.command("get").summary("fetch a file"))
      .argument("[path]", "where to write it (default: its name, here); - is standard output")
      .description("Fetch a file. It appears under its name when it is whole and its digest is right.")
      .option("--resume", "go on with what an interrupted get left in <path>.part")
      .action((name: string, path: string | undefined, flags: GetFlags) => getFile(cli, { file: name, path, flags })),
    ["velas-sphere file get photos/cat.jpg", "as ./cat.jpg"],
    ["velas-sphere file get folder.tar - | tar x", "into a pipe"],
    ["velas-sphere file get film.mkv --resume", "go on after an interruption"],
  );

  withExamples(
    withFile(file.command("cat").summary("print a file"))
      .description("Print a file, or a range of its bytes.")
      .option("--range <first-last>", "only these bytes: 0-1023, 1024- or -100 for the last hundred")
      .action((name: string, flags: CatFlags) => catFile(cli, { file: name, flags })),
    ["velas-sphere file cat notes.txt", "to the terminal"],
    ["velas-sphere file cat film.mkv --range 0-65535 > start", "only the beginning"],
  );
}

function addNameCommands(file: Command, cli: CliContext): void {
  withExamples(
    withClientOptions(
      file.command("ls").summary("list files").argument("[prefix]", "only names that begin with it"),
    )
      .description("List files by name.")
      .option("--folders", "group names at the next slash")
      .option("--all-versions", "every version rather than the newest")
      .option("--limit <count>", "files a page, 1 to 1000", integerOption(1, 1000), 100)
      .option("--page-token <token>", "go on where the last page ended")
      .option("--all", "all pages")
      .action((prefix: string | undefined, flags: ListFlags) => listFiles(cli, prefix, flags)),
    ["velas-sphere file ls", "the first hundred"],
    ["velas-sphere file ls photos/ --folders", "one level, like a folder"],
    ["velas-sphere file ls --all --json", "all of them, for programs"],
  );

  withExamples(
    withFile(file.command("stat").summary("show a file"))
      .description("Show what is known of a file.")
      .action(async (name: string, flags: VersionFlags) =>
        show(cli, flags, await findFile(clientOf(cli, flags), { file: name, version: flags.version }))
      ),
    ["velas-sphere file stat photos/cat.jpg", "size, digest, state, spread"],
  );

  withExamples(
    withClientOptions(file.command("versions").summary("list a file's versions").argument("<name>", "the file's name"))
      .description("List all versions of a name, newest first.")
      .action(async (name: string, flags: ClientFlags) => {
        const versions = await versionsOf(clientOf(cli, flags), name);
        if (versions.length === 0) throw new NodeError("not_found", `There is no file "${name}"`);
        if (flags.json === true) cli.out.line(JSON.stringify({ versions }));
        else showFiles(versions, cli.out, { heading: true });
      }),
    ["velas-sphere file versions notes.txt", "then: file get notes.txt --version 1"],
  );

  withExamples(
    withClientOptions(
      file.command("mv").summary("rename a file").argument("<file>", FILE_ARGUMENT)
        .argument("<name>", "the new name, which must be free"),
    )
      .description("Rename a file, with all of its versions.")
      .action(async (from: string, name: string, flags: ClientFlags) => {
        const client = clientOf(cli, flags);
        const { id } = await findFile(client, { file: from });
        show(cli, flags, await client.json<FileJson>("PATCH", `/v1/files/${id}`, { json: { name } }));
      }),
    ["velas-sphere file mv cat.jpg photos/cat.jpg", "nothing is sent again"],
  );

  withExamples(
    withClientOptions(
      file.command("rm").summary("remove files").argument(
        "<file...>",
        "names, with all their versions, or ids of versions",
      ),
    )
      .description("Remove files and free their shards at the providers.")
      .option("--version <number>", "only this version", integerOption(1, Number.MAX_SAFE_INTEGER))
      .action((names: string[], flags: VersionFlags) => removeFiles(cli, names, flags)),
    ["velas-sphere file rm notes.txt", "all versions"],
    ["velas-sphere file rm notes.txt --version 1", "only the first"],
  );
}

function addManifestCommands(file: Command, cli: CliContext): void {
  const outputFile = "write the manifest to a file (default: standard output)";

  withExamples(
    withFile(file.command("share").summary("share a file with another node"))
      .argument("<share-key>", "the other node's key: velas-sphere file share-key")
      .description("Make a manifest with which another node, and only that one, can read the file.")
      .option("--output-file <path>", outputFile)
      .action(async (name: string, recipient: string, flags: VersionFlags & { outputFile?: string }) => {
        const client = clientOf(cli, flags);
        const { id } = await findFile(client, { file: name, version: flags.version });
        const answer = await client.open("POST", `/v1/files/${id}/share`, { json: { recipient } });
        await writeManifest(answer.body, cli, flags.outputFile);
      }),
    [
      "velas-sphere file share cat.jpg 8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a --output-file cat.velas",
      "send cat.velas to the other node's owner",
    ],
  );

  withExamples(
    withFile(file.command("unshare").summary("take back all shares of a file"))
      .description(
        "Take back all shares of a file: providers refuse them from now on. Share it anew with who may go on.",
      )
      .action(async (name: string, flags: VersionFlags) => {
        const client = clientOf(cli, flags);
        const { id } = await findFile(client, { file: name, version: flags.version });
        const answer = await client.json<Unshared>("DELETE", `/v1/files/${id}/share`);
        if (flags.json === true) return cli.out.line(JSON.stringify(answer));
        const count = answer.told.length;
        cli.out.line(
          `${count} ${count === 1 ? "provider refuses" : "providers refuse"} the shares of ${printable(name)}`,
        );
        for (const target of answer.pending) {
          cli.out.line(`${printable(target)} could not be reached and still takes them; it is told later`);
        }
      }),
    ["velas-sphere file unshare cat.jpg", "nobody else reads it any more"],
  );

  withExamples(
    withClientOptions(file.command("share-key").summary("print the key to which others share"))
      .description("Print this node's public key, to which others share files.")
      .action(async (flags: ClientFlags) => {
        const answer = await clientOf(cli, flags).json<{ shareKey: string }>("GET", "/v1/share-key");
        cli.out.line(flags.json === true ? JSON.stringify(answer) : answer.shareKey);
      }),
    ["velas-sphere file share-key", "give it to who shares with you"],
  );

  withExamples(
    withFile(file.command("export").summary("export a file's manifest"))
      .argument("[path]", "where to write it; - is standard output (default)")
      .description("Export the manifest of a file: with the node's master key it is enough to read the file again.")
      .action(async (name: string, path: string | undefined, flags: VersionFlags) => {
        const client = clientOf(cli, flags);
        const { id } = await findFile(client, { file: name, version: flags.version });
        const answer = await client.open("GET", `/v1/files/${id}/manifest`);
        await writeManifest(answer.body, cli, path === "-" ? undefined : path);
      }),
    ["velas-sphere file export cat.jpg cat.velas", "keep it somewhere safe"],
  );

  withExamples(
    withClientOptions(
      file.command("import").summary("import a manifest").argument("<path>", "the manifest; - is standard input"),
    )
      .description("Import a manifest that this node exported or that another one shared with it.")
      .action(async (path: string, flags: ClientFlags) => {
        const body = path === "-" ? cli.stdin : await readLocal(resolve(cli.cwd, path));
        show(cli, flags, await clientOf(cli, flags).json<FileJson>("POST", "/v1/files/import", { body }));
      }),
    ["velas-sphere file import cat.velas", "then: file get cat.jpg"],
  );
}

function addCareCommands(file: Command, cli: CliContext): void {
  withExamples(
    withClientOptions(
      file.command("health").summary("show how safe files are").argument(
        "[file]",
        `${FILE_ARGUMENT} (default: all files)`,
      ),
    )
      .description(
        "Show the shards of a file, how many may still be lost, and the estimated risk; or the risk of every file.",
      )
      .option("--version <number>", "of the name", integerOption(1, Number.MAX_SAFE_INTEGER))
      .action((name: string | undefined, flags: VersionFlags) =>
        name === undefined ? allHealth(cli, flags) : care(cli, { name, flags, method: "GET", what: "health" })
      ),
    ["velas-sphere file health", "every file, a line each"],
    ["velas-sphere file health photos/cat.jpg", "every shard of one"],
  );
  withExamples(
    withFile(file.command("audit").summary("audit a file now"))
      .description("Have every provider of a file prove that it still has its shard. Nothing is downloaded.")
      .action((name: string, flags: VersionFlags) => care(cli, { name, flags, method: "POST", what: "audit" })),
    ["velas-sphere file audit photos/cat.jpg", "fresh challenges to all providers"],
  );
  withExamples(
    withFile(file.command("repair").summary("repair a file now"))
      .description("Rebuild lost and suspect shards of a file at other providers.")
      .action((name: string, flags: VersionFlags) => care(cli, { name, flags, method: "POST", what: "repair" })),
    ["velas-sphere file repair photos/cat.jpg", "the node also does it by itself"],
  );
}

function withFile(command: Command): Command {
  command.argument("<file>", FILE_ARGUMENT)
    .option(
      "--version <number>",
      "a version of the name (default: the newest)",
      integerOption(1, Number.MAX_SAFE_INTEGER),
    );
  return withClientOptions(command);
}

function policyOption(text: string): string {
  if (!/^\d{1,2}\+\d{1,2}$/.test(text)) throw new InvalidArgumentError("It must be data + parity shards, such as 4+2.");
  return text;
}

function show(cli: CliContext, flags: ClientFlags, file: FileJson): void {
  if (flags.json === true) cli.out.line(JSON.stringify(file));
  else showFile(file, cli.out);
}

async function listFiles(cli: CliContext, prefix: string | undefined, flags: ListFlags): Promise<void> {
  const client = clientOf(cli, flags);
  const files: FileJson[] = [];
  const folders: string[] = [];
  let pageToken = flags.pageToken ?? "";
  let first = true;
  do {
    const page = await filePage(client, {
      prefix,
      delimiter: flags.folders === true ? "/" : undefined,
      allVersions: flags.allVersions,
      pageSize: flags.all === true ? 1000 : flags.limit,
      pageToken,
    });
    pageToken = page.nextPageToken;
    if (flags.json === true) {
      files.push(...page.files);
      folders.push(...page.folders);
      continue;
    }
    for (const folder of page.folders) cli.out.line(cli.out.colors.cyan(printable(folder)));
    if (page.files.length > 0) showFiles(page.files, cli.out, { heading: first });
    if (page.files.length + page.folders.length > 0) first = false;
  } while (flags.all === true && pageToken !== "");

  if (flags.json === true) return cli.out.line(JSON.stringify({ files, folders, nextPageToken: pageToken }));
  if (first) return cli.err.line("No files.");
  if (pageToken !== "") cli.err.line(cli.err.colors.dim(`There are more: add --page-token ${pageToken}, or --all`));
}

async function removeFiles(cli: CliContext, names: readonly string[], flags: VersionFlags): Promise<void> {
  const client = clientOf(cli, flags);
  const removed: string[] = [];
  for (const name of names) {
    const { id } = await findFile(client, { file: name, version: flags.version });
    if (id === name || flags.version !== undefined) await client.json("DELETE", `/v1/files/${id}`);
    else await client.json("DELETE", "/v1/file", { query: { name } });
    removed.push(name);
  }
  if (flags.json === true) cli.out.line(JSON.stringify({ removed }));
}

interface Care {
  readonly name: string;
  readonly flags: VersionFlags;
  readonly method: "GET" | "POST";
  readonly what: "health" | "audit" | "repair";
}

async function care(cli: CliContext, { name, flags, method, what }: Care): Promise<void> {
  const client = clientOf(cli, flags);
  const { id } = await findFile(client, { file: name, version: flags.version });
  const health = await client.json<HealthJson>(method, `/v1/files/${id}/${what}`);
  if (flags.json === true) cli.out.line(JSON.stringify(health));
  else showHealth(health, cli.out);
}

async function allHealth(cli: CliContext, flags: ClientFlags): Promise<void> {
  const client = clientOf(cli, flags);
  let count = 0;
  for await (const { id } of everyFile(client, {})) {
    const health = await client.json<HealthJson>("GET", `/v1/files/${id}/health`);
    count++;
    if (flags.json === true) cli.out.line(JSON.stringify(health));
    else showHealthLine(health, cli.out);
  }
  if (count === 0 && flags.json !== true) cli.err.line("No files.");
}

async function readLocal(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw unreadable("file", path, cause);
  }
}

/** Writes a manifest, which is binary and holds no secret in the clear, to a file that appears when it is whole. */
async function writeManifest(body: Readable, cli: CliContext, path: string | undefined): Promise<void> {
  if (path === undefined) {
    if (cli.out.isTerminal) {
      body.destroy();
      throw new NodeError(
        "failed_precondition",
        "A manifest is binary and would garble the terminal: name a file, or pipe it",
      );
    }
    return await pipeline(body, cli.out.stream, { end: false });
  }
  const place = resolve(cli.cwd, path);
  try {
    await pipeline(body, createWriteStream(`${place}.part`, { flush: true }));
    await rename(`${place}.part`, place);
  } catch (cause) {
    await rm(`${place}.part`, { force: true });
    const { code } = cause as { code?: unknown };
    throw new NodeError("storage_failed", `Cannot write ${place} (${String(code)}): choose another path`, { cause });
  }
}
