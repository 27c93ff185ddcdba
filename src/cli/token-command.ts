import { randomBytes } from "node:crypto";
import { open, rename, rm, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { formatDuration, readTokenEntries, type TokenEntry } from "../config/mod.ts";
import { ACCESS_SCOPES, type AccessScope, MAX_TOKENS, NodeError, TOKEN_NAME, tokenDigest } from "../core/mod.ts";
import { durationOption, withExamples, withOutputOptions } from "./command.ts";
import type { CliContext } from "./context.ts";

interface NewFlags {
  readonly name: string;
  readonly scope: readonly AccessScope[];
  readonly expires?: number;
  readonly file?: string;
  readonly json?: boolean;
}

/** Bytes of chance in a token: more than anybody can try. */
const TOKEN_BYTES = 32;

/** `velas-sphere token …` */
export function addTokenCommand(program: Command, cli: CliContext): void {
  const token = program.command("token").summary("make tokens for the REST API").description(
    "Make tokens for programs that may do a part of what the REST API can.",
  );

  withExamples(
    withOutputOptions(token.command("new").summary("make a token"))
      .description(
        "Draw a token and show it once, on standard output. The node gets only its SHA-256, as an entry of the file that " +
          "rest.scopedTokensFile names: add it with --file, or by hand. A node that runs reads the file again at SIGHUP. docs/security.md " +
          "says what each scope allows.",
      )
      .requiredOption("--name <name>", "what logs, metrics and errors call it", nameOption)
      .addOption(
        new Option("--scope <scope>", "what it is for; may be repeated").choices(ACCESS_SCOPES).makeOptionMandatory()
          .argParser(scopeOption),
      )
      .option("--expires <duration>", "how long it is good, such as 90d; for ever without it", durationOption)
      .option("--file <path>", "the file of rest.scopedTokensFile to add it to; it is made when it is not there")
      .action((flags: NewFlags) => makeToken(flags, cli)),
    ["velas-sphere token new --name ci --scope tasks --scope read --file tokens.json", "add it to the file"],
    ["velas-sphere token new --name grafana --scope read --expires 365d", "show the entry to add by hand"],
    ["TOKEN=$(velas-sphere token new --name cam --scope files --file tokens.json)", "for scripts"],
  );
}

async function makeToken({ name, scope, expires, file, json }: NewFlags, { out, err, cwd }: CliContext): Promise<void> {
  const token = `velas_${randomBytes(TOKEN_BYTES).toString("base64url")}`;
  const entry: TokenEntry = {
    name,
    sha256: Buffer.from(tokenDigest(token)).toString("hex"),
    scopes: [...scope],
    ...(expires === undefined ? {} : { expiresAt: new Date(Date.now() + expires).toISOString() }),
  };
  if (file !== undefined) await addEntry(entry, resolve(cwd, file));
  if (json === true) return out.line(JSON.stringify({ token, entry, file: file ?? null }));

  const until = expires === undefined ? "" : ` for ${formatDuration(expires)}`;
  err.line(`The token "${name}" for ${scope.join(", ")}${until}, which is shown only now:`);
  out.line(token);
  if (file === undefined) {
    err.line(`Its entry for the list "tokens" in the file of rest.scopedTokensFile:`);
    err.line(JSON.stringify(entry, null, 2));
  } else {
    err.line(
      `It is in ${file}. A node that has this file as rest.scopedTokensFile takes it at SIGHUP or its next start.`,
    );
  }
}

/** Adds an entry to a file, which is there whole with it or without it, and stays its owner's. Throws `invalid_argument` for a name that is taken. */
async function addEntry(entry: TokenEntry, path: string): Promise<void> {
  const before = await stat(path).catch(() => undefined);
  const entries = before === undefined ? [] : readTokenEntries(path);
  if (entries.some(({ name }) => name === entry.name)) {
    throw new NodeError(
      "invalid_argument",
      `${path} has a token "${entry.name}": choose another name, or remove its entry first`,
      { data: { name: entry.name } },
    );
  }
  if (entries.length >= MAX_TOKENS) {
    throw new NodeError("invalid_argument", `${path} has ${entries.length} tokens, which is the most: remove some`);
  }
  const scratch = `${path}.${randomBytes(6).toString("hex")}.new`;
  try {
    const handle = await open(scratch, "wx", 0o600);
    try {
      if (before !== undefined) {
        await handle.chmod(before.mode & 0o777);
        // Root may add for the node's user; whoever else made the file stays its owner already.
        await handle.chown(before.uid, before.gid).catch(() => {});
      }
      await handle.writeFile(`${JSON.stringify({ tokens: [...entries, entry] }, null, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(scratch, path);
  } catch (cause) {
    await rm(scratch, { force: true });
    throw new NodeError("storage_failed", `Cannot write ${path} (${String((cause as { code?: string }).code)})`, {
      cause,
      data: { path },
    });
  }
}

function nameOption(text: string): string {
  if (TOKEN_NAME.test(text)) return text;
  throw new InvalidArgumentError("It must be letters, digits, '.', '_' and '-', at most 64, and not rest.token.");
}

function scopeOption(text: string, earlier: readonly AccessScope[] = []): readonly AccessScope[] {
  const scope = ACCESS_SCOPES.find((each) => each === text);
  if (scope === undefined) throw new InvalidArgumentError(`It must be one of ${ACCESS_SCOPES.join(", ")}.`);
  return earlier.includes(scope) ? earlier : [...earlier, scope];
}
