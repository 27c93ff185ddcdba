import { Buffer } from "node:buffer";
import { readFileSync, statSync } from "node:fs";
import process from "node:process";
import * as z from "zod";
import { ACCESS_SCOPES, type AccessToken, MAX_TOKENS, NodeError, TOKEN_NAME } from "../core/mod.ts";

/** Who may write it gives every right to himself. It holds no secrets, so that others may read it. */
const WRITABLE_BY_OTHERS = 0o022;

/** An entry of the file of `rest.scopedTokensFile`. */
export const tokenEntry = z.strictObject({
  name: z.string().regex(TOKEN_NAME, "letters, digits, '.', '_' and '-', at most 64, and not rest.token"),
  sha256: z.string().regex(/^[0-9a-f]{64}$/i, "the SHA-256 of the token, 64 hex digits"),
  scopes: z.array(z.enum(ACCESS_SCOPES)).min(1),
  expiresAt: z.iso.datetime({ offset: true }).optional(),
});

export type TokenEntry = z.infer<typeof tokenEntry>;

const tokensFile = z.strictObject({ tokens: z.array(tokenEntry).max(MAX_TOKENS) });

/**
 * The entries of a file of tokens. Throws `config_invalid` when it cannot be read, others may write it, or an entry is not right or is there
 * twice.
 */
export function readTokenEntries(path: string): TokenEntry[] {
  const fault = (what: string, cause?: unknown) =>
    new NodeError("config_invalid", `The file of rest.scopedTokensFile, ${path}, ${what}`, { cause, data: { path } });
  let text: string;
  try {
    const { mode } = statSync(path);
    if (process.platform !== "win32" && (mode & WRITABLE_BY_OTHERS) !== 0) {
      throw fault(`may be written by others (mode ${(mode & 0o777).toString(8)}): run chmod go-w on it`);
    }
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if (cause instanceof NodeError) throw cause;
    throw fault(`cannot be read (${String((cause as { code?: string }).code)})`, cause);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // What the parser quotes may be a token that was put there instead of its digest.
    throw fault("is not JSON");
  }
  const result = tokensFile.safeParse(parsed);
  if (!result.success) {
    const { path: place, message } = result.error.issues[0]!;
    throw fault(`is not right at ${place.join(".") || "its top"}: ${message}`);
  }
  const { tokens } = result.data;
  const twice = (of: (entry: TokenEntry) => string) => {
    const seen = new Set<string>();
    return tokens.find((entry) => seen.has(of(entry)) || !seen.add(of(entry)));
  };
  const again = twice(({ name }) => name) ?? twice(({ sha256 }) => sha256.toLowerCase());
  if (again !== undefined) throw fault(`has the token "${again.name}" twice: every name and every token has one entry`);
  return tokens;
}

/** The tokens of entries. */
export function tokensOf(entries: readonly TokenEntry[]): AccessToken[] {
  return entries.map(({ name, sha256, scopes, expiresAt }) => ({
    name,
    scopes: new Set(scopes),
    digest: Buffer.from(sha256, "hex"),
    ...(expiresAt === undefined ? {} : { expiresAt: Date.parse(expiresAt) }),
  }));
}
