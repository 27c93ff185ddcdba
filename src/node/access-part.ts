import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { type Config, readTokenEntries, tokensOf } from "../config/mod.ts";
import { type AccessToken, AccessTokens, mainToken, NodeError, type NodeKey } from "../core/mod.ts";
import type { ReloadPart } from "./live-config.ts";

/** The tokens of a node: `rest.token`, and those of the file `rest.scopedTokensFile`, which is read anew with the configuration. */
export class AccessPart implements ReloadPart {
  readonly tokens = new AccessTokens();
  #form: string;

  /** Throws `config_invalid` when the file is not right. */
  constructor(config: Config) {
    const all = read(config);
    this.#form = formOf(all);
    if (all !== undefined) this.tokens.replace(all);
  }

  prepare(next: Config): { readonly applied: readonly string[]; apply(): void } {
    const all = read(next);
    const form = formOf(all);
    return {
      applied: form === this.#form ? [] : ["rest.scopedTokensFile"],
      apply: () => {
        this.#form = form;
        if (all !== undefined) this.tokens.replace(all);
      },
    };
  }
}

/** A secret for logins of the web page, made from the node key so that they outlive a restart. */
export function loginKeyOf(key: NodeKey): Uint8Array {
  return createHash("sha256").update(key.sign(Buffer.from("velas-sphere/1 key for logins of the web page"))).digest();
}

/** All tokens; undefined when none is configured, and none wanted. */
function read({ rest: { token, scopedTokensFile } }: Config): AccessToken[] | undefined {
  if (token === undefined && scopedTokensFile === undefined) return undefined;
  const main = token === undefined ? [] : [mainToken(token)];
  const scoped = scopedTokensFile === undefined ? [] : tokensOf(readTokenEntries(scopedTokensFile));
  const same = scoped.find(({ digest }) => main.some((each) => Buffer.compare(each.digest, digest) === 0));
  if (same === undefined) return [...main, ...scoped];
  throw new NodeError(
    "config_invalid",
    `The token "${same.name}" of ${scopedTokensFile} is rest.token, which may do everything: draw another`,
    { data: { token: same.name } },
  );
}

function formOf(tokens: readonly AccessToken[] | undefined): string {
  return JSON.stringify(
    tokens?.map(({ name, digest, scopes, expiresAt }) => [
      name,
      Buffer.from(digest).toString("hex"),
      [...scopes],
      expiresAt,
    ]),
  ) ?? "";
}
