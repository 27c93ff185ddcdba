import { NodeError } from "../core/mod.ts";

/** Who asks: a plugin in a call of somebody's. */
export interface Asker {
  readonly plugin: string;
  readonly granted: ReadonlySet<string>;
  /** Empty when it is not known. */
  readonly requester: string;
  readonly signal: AbortSignal;
}

/** Throws `permission_denied` unless the plugin was granted this. */
export function demand({ plugin, granted }: Asker, permission: string): void {
  if (granted.has(permission)) return;
  throw new NodeError(
    "permission_denied",
    `The plugin ${plugin} may not use "${permission}" here: its manifest must list it in "needs", and the node's operator grant it ` +
      `(plugins.grants: ${plugin}:${permission})`,
    { data: { plugin, permission } },
  );
}
