import { call, loginNeeded } from "./api.ts";

/** Trades the token for a cookie that scripts cannot read. Throws an ApiError when it is not the node's. */
export async function logIn(token: string): Promise<void> {
  await call("POST", "v1/session", { headers: { Authorization: `Bearer ${token}` } });
  loginNeeded.value = false;
}

export async function logOut(): Promise<void> {
  await call("DELETE", "v1/session");
  loginNeeded.value = true;
}
