import { lookup } from "node:dns";
import { isIP } from "node:net";
import { NodeError } from "./errors.ts";

/**
 * Networks that a URL which somebody else wrote must not lead to: it would make the node a way into them. What each is for is in
 * the IANA special-purpose address registries; 168.63.129.16 is where one cloud keeps what others keep at 169.254.169.254.
 */
const SPECIAL: readonly (readonly [network: string, kind: string])[] = [
  ["127.0.0.0/8", "loopback"],
  ["10.0.0.0/8", "private"],
  ["172.16.0.0/12", "private"],
  ["192.168.0.0/16", "private"],
  ["169.254.0.0/16", "link-local"],
  ["100.64.0.0/10", "shared by a carrier's customers"],
  ["168.63.129.16/32", "a cloud's metadata"],
  ["0.0.0.0/8", "this network"],
  ["192.0.0.0/24", "reserved"],
  ["192.0.2.0/24", "for documentation"],
  ["192.88.99.0/24", "reserved"],
  ["198.18.0.0/15", "for benchmarks"],
  ["198.51.100.0/24", "for documentation"],
  ["203.0.113.0/24", "for documentation"],
  ["224.0.0.0/4", "multicast"],
  ["240.0.0.0/4", "reserved"],
  ["::1/128", "loopback"],
  ["fc00::/7", "private"],
  ["fe80::/10", "link-local"],
  ["fec0::/10", "site-local"],
  ["ff00::/8", "multicast"],
  ["::/96", "reserved"],
  ["64:ff9b::/96", "IPv4 behind a translator"],
  ["64:ff9b:1::/48", "IPv4 behind a translator"],
  ["100::/64", "discard"],
  ["2001::/23", "reserved"],
  ["2001:db8::/32", "for documentation"],
  ["2002::/16", "IPv4 behind a relay"],
];

/** An address as a number of 32 or 128 bits. */
interface Numbered {
  readonly family: 4 | 6;
  readonly bits: bigint;
}

interface Network extends Numbered {
  readonly prefix: number;
}

const networks = SPECIAL.map(([text, kind]) => ({ network: parseNetwork(text)!, kind }));

/** Reads `10.0.0.0/8`, `fd00::/8`, or a single address; undefined for anything else. */
export function parseNetwork(text: string): Network | undefined {
  const [address = "", length, ...more] = text.split("/");
  const numbered = addressNumber(address);
  if (numbered === undefined || more.length > 0) return undefined;
  const width = numbered.family === 4 ? 32 : 128;
  if (length === undefined) return { ...numbered, prefix: width };
  if (!/^\d{1,3}$/.test(length) || Number(length) > width) return undefined;
  return { ...numbered, prefix: Number(length) };
}

/** What an address is that no stranger's URL may lead to, in a word or two; undefined for a public one. */
export function specialKindOf(address: string): string | undefined {
  const numbered = addressNumber(address);
  if (numbered === undefined) return "no IP address";
  return networks.find(({ network }) => contains(network, numbered))?.kind;
}

/** Decides which addresses the node may connect to for a URL that came from outside. */
export class OutboundRules {
  #allowed: readonly Network[] = [];
  readonly #resolve: Resolve;

  /**
   * `allowed` are networks and addresses that are not public and may be reached all the same; others in the list are ignored. `resolve`
   * finds the addresses of a name, by default as the system does.
   */
  constructor(allowed: readonly string[] = [], resolve: Resolve = (name, done) => lookup(name, { all: true }, done)) {
    this.#resolve = resolve;
    this.allow(allowed);
  }

  /** Replaces the list of what is allowed. */
  allow(allowed: readonly string[]): void {
    this.#allowed = allowed.map(parseNetwork).filter((network) => network !== undefined);
  }

  /** Throws `permission_denied` unless the address is public or allowed. `host` is the name that led there. */
  check(address: string, host: string = address): void {
    const kind = specialKindOf(address);
    if (kind === undefined) return;
    const numbered = addressNumber(address);
    if (numbered !== undefined && this.#allowed.some((network) => contains(network, numbered))) return;
    const shown = host.slice(0, 200);
    throw new NodeError(
      "permission_denied",
      `${shown === address ? address : `${shown} leads to ${address}, which`} is not a public address (${kind}); ` +
        `if the node may connect to it, add ${address} or its network to node.allowNetworks`,
      { data: { address, host: shown, key: "node.allowNetworks" } },
    );
  }

  /** Checks the host of a URL when it is an address itself: no lookup is done for those. Throws as {@link check} does. */
  checkLiteral(url: URL): void {
    const host = url.hostname.replace(/^\[|\]$/g, "");
    if (isIP(host) !== 0) this.check(host);
  }

  /**
   * A `lookup` for node:http and node:net: the connection is made to the very addresses that were checked here, so that a name cannot
   * lead elsewhere between check and use. One forbidden address among several refuses all.
   */
  readonly lookup = (name: string, options: { readonly all?: boolean | undefined }, done: LookupDone): void => {
    this.#resolve(name, (error, addresses) => {
      if (error !== null) return done(error, []);
      try {
        for (const { address } of addresses) this.check(address, name);
        if (addresses.length === 0) throw new NodeError("target_unreachable", `${name} has no address`);
      } catch (refusal) {
        return done(refusal as Error, []);
      }
      if (options.all === true) done(null, addresses);
      else done(null, addresses[0]!.address, addresses[0]!.family);
    });
  };
}

/** Finds all addresses of a name. */
export type Resolve = (
  name: string,
  done: (error: Error | null, addresses: { readonly address: string; readonly family: number }[]) => void,
) => void;

// deno-lint-ignore no-explicit-any -- node:net and node:http disagree on the types of this callback
type LookupDone = (error: Error | null, address: any, family?: number) => void;

function contains(network: Network, { family, bits }: Numbered): boolean {
  if (family !== network.family) return false;
  const shift = BigInt((family === 4 ? 32 : 128) - network.prefix);
  return bits >> shift === network.bits >> shift;
}

/** An IP address as its bits; IPv4 in IPv6's clothes (::ffff:10.0.0.1) is the IPv4 address that it leads to. Undefined for anything else. */
export function addressNumber(text: string): Numbered | undefined {
  const family = isIP(text);
  if (family === 4) return { family: 4, bits: numberOfIpv4(text) };
  if (family !== 6) return undefined;
  // The URL parser writes every spelling in one way, without dots; a zone (%eth0) is no part of the address.
  const plain = new URL(`http://[${text.replace(/%.*$/, "")}]`).hostname.slice(1, -1);
  const [left = "", right] = plain.split("::");
  const head = left === "" ? [] : left.split(":");
  const tail = right === undefined || right === "" ? [] : right.split(":");
  const groups = [...head, ...new Array<string>(8 - head.length - tail.length).fill("0"), ...tail];
  const bits = groups.reduce((sum, group) => sum << 16n | BigInt(`0x${group}`), 0n);
  return bits >> 32n === 0xffffn ? { family: 4, bits: bits & 0xffff_ffffn } : { family: 6, bits };
}

function numberOfIpv4(text: string): bigint {
  return text.split(".").reduce((sum, part) => sum << 8n | BigInt(part), 0n);
}
