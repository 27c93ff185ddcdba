import { isGrant, isNodeId, MIN_CUSTODY_GRACE_MS, parseNetwork } from "../core/mod.ts";
import { isLoopback, parseAddress } from "./address.ts";
import { exposedAddress, speaksTls, TLS_GROUPS } from "./exposure.ts";
import type { Config } from "./schema.ts";
import { SETTING_BY_KEY } from "./settings.ts";
import { showValue } from "./text-form.ts";

/** Defaults that must not pass the maximum beside them. */
const AT_MOST = [
  ["tasks.defaultTimeoutMs", "tasks.maxTimeoutMs"],
  ["tasks.defaultMemoryBytes", "tasks.maxMemoryBytes"],
  ["tasks.defaultOutputBytes", "tasks.maxOutputBytes"],
  ["tasks.defaultInstructions", "tasks.maxInstructions"],
] as const;

/** What is wrong with values that are each right: a sentence a fault, with the cure. */
export function checkTogether(config: Config): string[] {
  return [
    ...checkExposure(config),
    ...checkNetworks(config),
    ...checkAllowed(config),
    ...checkWebhook(config),
    ...checkPayments(config),
    ...checkPairs(config),
    ...checkPlugins(config),
  ];
}

/** Nobody serves strangers, or hands out the node, by mistake. */
function checkExposure(config: Config): string[] {
  const { node, rpc, rest, payments, prices } = config;
  const faults: string[] = [];
  const isPaid = payments.rpcUrls.length > 0 && hasPrice(prices);
  for (const listen of rpc.listen) {
    if (node.open || isPaid || rpc.allow.length > 0 || isLoopback(parseAddress(listen)!.host)) continue;
    faults.push(
      `rpc.listen has ${listen}, which other machines reach, and the node would serve strangers for free: set node.open (--open) to ` +
        "allow it, name the nodes that it serves in rpc.allow, set prices and payments, or listen on 127.0.0.1",
    );
  }
  if (rest.token === undefined && rest.scopedTokensFile === undefined && !isLoopback(parseAddress(rest.listen)!.host)) {
    faults.push(
      `rest.listen is ${rest.listen}, which other machines reach, without a token: set VELAS_SPHERE_REST_TOKEN, rest.tokenFile or ` +
        "rest.scopedTokensFile, or listen on 127.0.0.1",
    );
  }
  if (node.insecure) return faults;
  for (const group of TLS_GROUPS) {
    const reached = exposedAddress(config, group);
    if (reached === undefined || speaksTls(config, group)) continue;
    faults.push(
      `${group}.listen has ${reached}, which other machines reach, in plaintext: set ${group}.tlsCertFile and ${group}.tlsKeyFile, or ` +
        "node.ownCertificate (--own-certificate) to have the node make one, listen on 127.0.0.1, or set node.insecure (--insecure) if a proxy " +
        "ends TLS before it or the network is trusted",
    );
  }
  return faults;
}

function checkAllowed({ rpc }: Config): string[] {
  const wrong = rpc.allow.find((text) => !isNodeId(text));
  return wrong === undefined ? [] : [`rpc.allow has "${wrong}", which is no node id: write 0x and 40 hex digits`];
}

function checkNetworks({ node }: Config): string[] {
  const wrong = node.allowNetworks.find((network) => parseNetwork(network) === undefined);
  if (wrong === undefined) return [];
  return [`node.allowNetworks has "${wrong}", which is no address or network: write 10.1.2.3, 10.0.0.0/8 or fd00::/8`];
}

function checkWebhook({ alerts: { webhookUrl, webhookSecret } }: Config): string[] {
  if (webhookUrl === undefined) {
    return webhookSecret === undefined
      ? []
      : ["alerts.webhookSecret is set without alerts.webhookUrl: set where to send alerts, or leave it away"];
  }
  const protocol = URL.parse(webhookUrl)?.protocol;
  if (protocol === "https:" || protocol === "http:") return [];
  return ["alerts.webhookUrl (not shown) is no http:// or https:// URL"];
}

function hasPrice({ token: _, offerMs: __, ...amounts }: Config["prices"]): boolean {
  return Object.values(amounts).some((amount) => BigInt(amount) > 0n);
}

/** A node that takes or pays money knows where. */
function checkPayments({ payments, prices, files, storage }: Config): string[] {
  const { rpcUrls, chainId, channels } = payments;
  if (rpcUrls.length === 0) {
    return hasPrice(prices)
      ? ["prices are set without payments.rpcUrls: name the chain to be paid on, or remove them to work free of charge"]
      : [];
  }
  const faults: string[] = [];
  for (const url of rpcUrls) {
    if (!/^https?:\/\//.test(url)) faults.push(`payments.rpcUrls has "${url}", which is no http:// or https:// URL`);
  }
  if (chainId === 0) faults.push("payments.rpcUrls is set without payments.chainId: set the number of the chain");
  if (channels === "") {
    faults.push("payments.rpcUrls is set without payments.channels: set the address of the contract");
  }
  for (const [key, penalty] of [["payments", payments.custodyPenalty], ["files", files.custodyPenalty]] as const) {
    if (penalty !== "0" && payments.audit === "") {
      faults.push(`${key}.custodyPenalty is set without payments.audit: set the address of the contract`);
    }
  }
  if (payments.audit !== "" && payments.registry === "") {
    faults.push(
      "payments.audit is set without payments.registry: set the address that the contract's REGISTRY() tells",
    );
  }
  if (payments.custodyPenalty !== "0" && storage.graceMs < MIN_CUSTODY_GRACE_MS) {
    faults.push(
      "payments.custodyPenalty is set and storage.graceMs is below two days: shards that can be challenged would be dropped too soon",
    );
  }
  return faults;
}

function checkPairs(config: Config): string[] {
  const faults: string[] = [];
  for (const [lowKey, highKey] of AT_MOST) {
    const low = SETTING_BY_KEY.get(lowKey)!;
    const high = SETTING_BY_KEY.get(highKey)!;
    const lowValue = valueOf(config, lowKey) as number;
    const highValue = valueOf(config, highKey) as number;
    if (lowValue <= highValue) continue;
    faults.push(
      `${lowKey} is ${showValue(low, lowValue)}, above ${highKey} (${
        showValue(high, highValue)
      }): set the one lower or the other higher`,
    );
  }
  for (const group of ["rpc", "rest"] as const) {
    const { tlsCertFile, tlsKeyFile } = config[group];
    if ((tlsCertFile === undefined) === (tlsKeyFile === undefined)) continue;
    const [set, missing] = tlsCertFile === undefined ? ["Key", "Cert"] : ["Cert", "Key"];
    faults.push(`${group}.tls${set}File is set without ${group}.tls${missing}File: TLS needs both`);
  }
  const { listen } = config.rpc;
  const twice = repeated(listen.filter((each) => parseAddress(each)!.port !== 0));
  if (twice !== undefined) faults.push(`rpc.listen has ${twice} twice`);
  if (listen.includes(config.rest.listen) && parseAddress(config.rest.listen)!.port !== 0) {
    faults.push(`rest.listen and rpc.listen both have ${config.rest.listen}: give them different ports`);
  }
  return faults;
}

function checkPlugins({ plugins }: Config): string[] {
  const twice = repeated(plugins.external.map((plugin) => plugin.name));
  const faults = twice === undefined
    ? []
    : [`plugins.external has two plugins named "${twice}": give each its own name`];
  for (const { name, address, command, cwd, env, startTimeoutMs } of plugins.external) {
    if ((address === undefined) === (command === undefined)) {
      faults.push(
        `plugins.external "${name}" has ${
          address === undefined ? "neither address nor" : "both address and"
        } command: set ` +
          "address to dial a plugin that runs already, or command for one that the node shall run",
      );
    } else if (command === undefined && [cwd, env, startTimeoutMs].some((each) => each !== undefined)) {
      faults.push(`plugins.external "${name}" has cwd, env or startTimeoutMs, which are for a plugin with a command`);
    }
  }
  const wrong = plugins.grants.find((grant) => !isGrant(grant));
  if (wrong !== undefined) {
    faults.push(
      `plugins.grants has "${wrong}": write a plugin or *, a colon, and kv, clock, files.read, files.write or http:host`,
    );
  }
  return faults;
}

/** The value of a key such as `rpc.listen`. */
export function valueOf(config: Config, key: string): unknown {
  const { group, name } = SETTING_BY_KEY.get(key)!;
  return (config[group] as Record<string, unknown>)[name];
}

function repeated(values: readonly string[]): string | undefined {
  return values.find((value, index) => values.indexOf(value) !== index);
}
