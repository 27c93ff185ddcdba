/**
 * What a plugin may ask of the node beyond its input: its manifest lists what it needs, the operator's configuration what is granted,
 * and only what is in both is given.
 */
export type Permission = "kv" | "clock" | "files.read" | "files.write" | `http:${string}`;

const PERMISSION = /^(kv|clock|files\.read|files\.write|http:[a-z0-9.-]{1,253}(:\d{1,5})?)$/;
const GRANT = /^(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,63}):(.+)$/;

/** Whether a text names a permission. */
export function isPermission(text: string): text is Permission {
  return PERMISSION.test(text);
}

/** Whether a text is a grant: a plugin's name or `*`, a colon, a permission. */
export function isGrant(text: string): boolean {
  const match = GRANT.exec(text);
  return match !== null && isPermission(match[2]!);
}

/** What of its needs a plugin is granted. */
export function grantedOf(plugin: string, needs: readonly string[], grants: readonly string[]): ReadonlySet<string> {
  return new Set(needs.filter((need) => grants.includes(`${plugin}:${need}`) || grants.includes(`*:${need}`)));
}
