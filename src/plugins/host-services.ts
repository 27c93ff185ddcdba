import { NodeError } from "../core/mod.ts";
import type { Clock, OutboundRules } from "../core/mod.ts";
import { demand } from "./asker.ts";
import type { Asker } from "./asker.ts";
import { fetchForPlugin } from "./fetch-for-plugin.ts";
import { ANSWER_BYTES } from "./host-request.ts";
import type { HostAnswer, HostRequest } from "./host-request.ts";
import type { KvFolder } from "./kv-folder.ts";
import type { PluginFiles } from "./plugin-files.ts";

export interface HostServicesOptions {
  readonly kv: KvFolder;
  readonly clock: Clock;
  /** Where plugins that may use HTTP may connect to. */
  readonly outbound: OutboundRules;
  /** The files that plugins may reach; none on a node that keeps no files. Asked when a plugin asks. */
  readonly files: () => PluginFiles | undefined;
}

/** Answers what plugins ask of the node. What a plugin's manifest does not need, or the operator did not grant, is `permission_denied`. */
export class HostServices {
  readonly #options: HostServicesOptions;

  constructor(options: HostServicesOptions) {
    this.#options = options;
  }

  async answer(request: Exclude<HostRequest, { type: "input" }>, asker: Asker): Promise<HostAnswer> {
    const { kv, clock } = this.#options;
    switch (request.type) {
      case "now":
        demand(asker, "clock");
        return { number: clock.now() };
      case "kv-get": {
        demand(asker, "kv");
        const bytes = await kv.get(asker.plugin, request.key);
        return bytes === undefined ? {} : { bytes };
      }
      case "kv-set":
        demand(asker, "kv");
        await kv.set(asker.plugin, request.key, request.value);
        return {};
      case "file-size": {
        demand(asker, "files.read");
        return { number: await this.#files.size(request.name, asker) ?? -1 };
      }
      case "file-read": {
        demand(asker, "files.read");
        const { name, offset } = request;
        const length = Math.min(request.length, ANSWER_BYTES);
        const bytes = await this.#files.read({ name, offset, length }, asker);
        return bytes === undefined ? {} : { bytes };
      }
      case "file-write":
        demand(asker, "files.write");
        await this.#files.write(request.name, request.content, asker);
        return {};
      case "http":
        if (![...asker.granted].some((permission) => permission.startsWith("http:"))) {
          throw new NodeError(
            "permission_denied",
            `The plugin ${asker.plugin} called http_request, and no host is granted to it (plugins.grants: ${asker.plugin}:http:host)`,
          );
        }
        return await fetchForPlugin(request, asker, this.#options.outbound);
    }
  }

  get #files(): PluginFiles {
    const files = this.#options.files();
    if (files === undefined) {
      throw new NodeError(
        "failed_precondition",
        "The plugin asked for a file, and this node keeps no files for its plugins",
      );
    }
    return files;
  }
}
