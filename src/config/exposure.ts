import { isLoopback, parseAddress } from "./address.ts";
import type { Config } from "./schema.ts";

/** The groups of settings of listeners that may speak TLS. */
export const TLS_GROUPS = ["rpc", "rest"] as const;
export type TlsGroup = typeof TLS_GROUPS[number];

/** An address of a listener that other machines reach, if it has one. */
export function exposedAddress({ rpc, rest }: Config, group: TlsGroup): string | undefined {
  const listens = group === "rpc" ? rpc.listen : [rest.listen];
  return listens.find((listen) => !isLoopback(parseAddress(listen)!.host));
}

/** Whether a listener serves the certificate that the node makes itself: where other machines reach it and no file is named. */
export function servesOwnCertificate(config: Config, group: TlsGroup): boolean {
  const { ownCertificate } = config.node;
  return ownCertificate && config[group].tlsCertFile === undefined && exposedAddress(config, group) !== undefined;
}

/** Whether a listener speaks TLS. */
export function speaksTls(config: Config, group: TlsGroup): boolean {
  return config[group].tlsCertFile !== undefined || servesOwnCertificate(config, group);
}
