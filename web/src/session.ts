import { signal } from "@preact/signals";
import { call, getJson, loginNeeded } from "./api.ts";

/** What a token may be for. */
export type Scope = "read" | "tasks" | "files" | "payments" | "plugins" | "admin";

/** Who uses the page, and what for. */
export interface Session {
  /** The name of the token; absent when the node wants none. */
  readonly token?: string;
  readonly scopes: readonly Scope[];
}

/** Who uses the page, as soon as the node has told. */
export const session = signal<Session | undefined>(undefined);

/** Whether a call that wants one of the scopes may succeed; until the node has told, it may. */
export function may(scopes: readonly Scope[]): boolean {
  const has = session.value?.scopes;
  return has === undefined || scopes.some((scope) => has.includes(scope));
}

/** Asks the node who uses the page. */
export async function lookAtSession(): Promise<void> {
  session.value = await getJson<Session>("v1/session");
}

/** Trades a token for a cookie that scripts cannot read. Throws an ApiError when it is not the node's. */
export async function logIn(token: string): Promise<void> {
  await call("POST", "v1/session", { headers: { Authorization: `Bearer ${token}` } });
  await lookAtSession();
  loginNeeded.value = false;
}

export async function logOut(): Promise<void> {
  await call("DELETE", "v1/session");
  session.value = undefined;
  loginNeeded.value = true;
}
