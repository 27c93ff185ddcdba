import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual } from "node:crypto";
import { NodeError } from "./errors.ts";

/** What a token may be for; `docs/security.md` says what each allows. */
export const ACCESS_SCOPES = ["read", "tasks", "files", "payments", "plugins", "admin"] as const;

export type AccessScope = typeof ACCESS_SCOPES[number];

/** Who calls, as far as a token tells. */
export interface Caller {
  /** The token's name; empty where none was needed. */
  readonly name: string;
  readonly scopes: ReadonlySet<AccessScope>;
}

/** A token that the node takes. It is known by its digest only. */
export interface AccessToken extends Caller {
  /** SHA-256 of the token's text. */
  readonly digest: Uint8Array;
  /** When it ends, in milliseconds since the epoch; absent for never. */
  readonly expiresAt?: number;
}

/** Who calls a node that wants no token: its owner. */
export const OWNER: Caller = { name: "", scopes: new Set(ACCESS_SCOPES) };

/** Who calls what needs no token, on a node that wants one. */
export const NOBODY: Caller = { name: "", scopes: new Set() };

/** The name of the token that may do everything: its setting. No other token can have it. */
export const MAIN_TOKEN = "rest.token";

/** How every other token may be called: in logs, metrics and errors. */
export const TOKEN_NAME = /^(?!rest\.token$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The most tokens of a node: every call is compared with each. */
export const MAX_TOKENS = 1000;

export function tokenDigest(token: string): Uint8Array {
  return createHash("sha256").update(token).digest();
}

/** The token that may do everything. */
export function mainToken(token: string): AccessToken {
  return { name: MAIN_TOKEN, scopes: new Set(ACCESS_SCOPES), digest: tokenDigest(token) };
}

/** The tokens of a node, which change while it runs. */
export class AccessTokens {
  #tokens: readonly AccessToken[] = [];
  #required = false;

  /** Without tokens a node wants none. */
  constructor(tokens?: readonly AccessToken[]) {
    if (tokens !== undefined) this.replace(tokens);
  }

  /** Whether calls must bear a token. Once they must, they must until the process ends, even if no token is left. */
  get required(): boolean {
    return this.#required;
  }

  /** Takes other tokens, from the next call on. */
  replace(tokens: readonly AccessToken[]): void {
    this.#tokens = tokens;
    this.#required = true;
  }

  /**
   * Whom the value of an Authorization header stands for, or the error that refuses it. The token is compared with every other in constant time,
   * by its digest, so that not even its length shows.
   */
  bearer(authorization: string | undefined, nowMs: number): AccessToken | NodeError {
    const given = /^Bearer +([^ ]+) *$/i.exec(authorization ?? "")?.[1];
    if (given === undefined) {
      return new NodeError("unauthenticated", "This node wants a token; send it as Authorization: Bearer <token>");
    }
    const digest = tokenDigest(given);
    let found: AccessToken | undefined;
    for (const token of this.#tokens) if (timingSafeEqual(token.digest, digest)) found ??= token;
    if (found === undefined) {
      return new NodeError(
        "unauthenticated",
        "The token is none of this node's; use one of its configuration (rest.token, rest.scopedTokensFile)",
      );
    }
    return hasEnded(found, nowMs) ? expired(found) : found;
  }

  /** The token with this digest, if it is still good. Digests are no secrets. */
  withDigest(digest: Uint8Array, nowMs: number): AccessToken | undefined {
    return this.#tokens.find((token) => Buffer.compare(token.digest, digest) === 0 && !hasEnded(token, nowMs));
  }

  /** The caller as it is now: its token may have been taken away, changed, or be over. */
  renewed(caller: Caller | AccessToken, nowMs: number): Caller | undefined {
    if ("digest" in caller) return this.withDigest(caller.digest, nowMs);
    return caller === OWNER && this.#required ? undefined : caller;
  }
}

/** Whether a caller has one of the scopes; where none is named, everybody may. */
export function hasScope({ scopes }: Caller, wanted: readonly AccessScope[]): boolean {
  return wanted.length === 0 || wanted.some((scope) => scopes.has(scope));
}

/** The error for a caller without any of the scopes that a call needs. */
export function missingScope({ name }: Caller, wanted: readonly AccessScope[]): NodeError {
  const scopes = wanted.join(" or ");
  return new NodeError(
    "permission_denied",
    `The token "${name}" lacks the scope ${scopes}, which this call needs; use another token, ` +
      "or let the node's operator add the scope (rest.scopedTokensFile)",
    { data: { token: name, missingScope: scopes } },
  );
}

function hasEnded({ expiresAt }: AccessToken, nowMs: number): boolean {
  return expiresAt !== undefined && nowMs >= expiresAt;
}

function expired({ name, expiresAt }: AccessToken): NodeError {
  const at = new Date(expiresAt!).toISOString();
  return new NodeError(
    "unauthenticated",
    `The token "${name}" expired at ${at}; ask the node's operator for another (velas-sphere token new)`,
    { data: { token: name, expiredAt: at } },
  );
}
