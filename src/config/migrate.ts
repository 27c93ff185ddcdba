/** A configuration file as JSON gives it. */
export type Document = Readonly<Record<string, unknown>>;

export interface Migrated {
  readonly document: Document;
  /** What was changed or passed over, a sentence each. */
  readonly notices: readonly string[];
}

/** The name under which the original's one plugin is known here. */
export const ORIGINAL_PLUGIN_NAME = "external";

/** Where the original's versions had the address of their plugin. */
const PLUGIN_TARGETS = [["node", "plugin_target"], ["provider", "plugin_target"]] as const;

/** Keys of the original that mean nothing here, with the reason. */
const PASSED_OVER: readonly (readonly [group: string, name: string, reason: string])[] = [
  ["node", "storage_plugin_target", "storage is no plugin any more"],
  ["node", "ethereum_node_target", "payments are not configured yet"],
  ["node", "keystore_file_path", "the node makes its own key in node.dataDir"],
  ["node", "keystore_password", "the node makes its own key in node.dataDir; take the password out of the file"],
  ["node", "ethdepositcontract_address", "payments are not configured yet"],
  ["requester", "target", "each task names its own target"],
];

/**
 * Turns a `config.json` of the original node (2020, Go) into one of this node: its plugin becomes an external plugin and the
 * default one, and its other keys are passed over with a notice. A file without such keys is returned as it is. Like the
 * original, takes the keys in any case.
 */
export function migrateDocument(document: Document): Migrated {
  const notices: string[] = [];
  const groups: Record<string, unknown> = { ...document };
  let target: unknown;
  let changed = false;

  /** Takes a key of the original out of its group. */
  const take = (groupName: string, name: string): unknown => {
    const groupKey = findKey(groups, groupName);
    const group = groupKey === undefined ? undefined : groups[groupKey];
    if (groupKey === undefined || !isRecord(group)) return undefined;
    const key = findKey(group, name);
    if (key === undefined) return undefined;
    const { [key]: value, ...rest } = group;
    changed = true;
    delete groups[groupKey];
    if (Object.keys(rest).length > 0) groups[groupName] = rest;
    return value;
  };

  for (const [group, name] of PLUGIN_TARGETS) {
    const value = take(group, name);
    if (value !== "") target ??= value;
  }
  for (const [group, name, reason] of PASSED_OVER) {
    if (take(group, name) !== undefined) {
      notices.push(`${group}.${name} of the original node is passed over: ${reason}`);
    }
  }
  if (target !== undefined) {
    const address = typeof target === "string" ? plainAddress(target) : target;
    groups["plugins"] = withPlugin(groups["plugins"], address);
    notices.push(
      `plugin_target of the original node is taken as plugins.external "${ORIGINAL_PLUGIN_NAME}" at ${address}, the default plugin`,
    );
  }
  return { document: changed ? groups : document, notices };
}

/** What grpc-go dials for a target: `dns:///` is its default scheme, and no host means this machine. */
function plainAddress(target: string): string {
  const address = target.replace(/^(dns|passthrough):\/\/\//, "");
  return address.startsWith(":") ? `127.0.0.1${address}` : address;
}

function withPlugin(plugins: unknown, address: unknown): unknown {
  if (plugins !== undefined && !isRecord(plugins)) return plugins; // the schema reports it
  const external = plugins?.["external"];
  if (external !== undefined && !Array.isArray(external)) return plugins;
  const migrated = { name: ORIGINAL_PLUGIN_NAME, address, protocol: "auto" };
  return { default: ORIGINAL_PLUGIN_NAME, ...plugins, external: [migrated, ...external ?? []] };
}

function findKey(record: Document, name: string): string | undefined {
  return Object.keys(record).find((key) => key.toLowerCase() === name);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
