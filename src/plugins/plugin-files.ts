import { NodeError } from "../core/mod.ts";
import type { CallContext, FileService } from "../core/mod.ts";
import type { Asker } from "./asker.ts";

/** A part of a file. */
export interface FilePart {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
}

/** The files that plugins may reach. A file that is not there is undefined. */
export interface PluginFiles {
  size(name: string, asker: Asker): Promise<number | undefined>;
  /** What there is of the part: less than it at the end of the file. */
  read(part: FilePart, asker: Asker): Promise<Uint8Array | undefined>;
  write(name: string, content: Uint8Array, asker: Asker): Promise<void>;
}

/**
 * The files of this node's own {@link FileService}, for plugins in tasks of the node itself. They are its owner's files, so nobody
 * else's task may reach them, whatever plugin it runs.
 */
export function pluginFiles(service: FileService, self: string): PluginFiles {
  const context = ({ requester, signal, plugin }: Asker): CallContext => {
    if (requester === self) {
      return { requester: requester as CallContext["requester"], signal, requestId: `plugin:${plugin}` };
    }
    throw new NodeError(
      "permission_denied",
      "The files of this node are there for its own tasks only, not for those of others",
    );
  };
  const orNone = async <T>(found: Promise<T>): Promise<T | undefined> => {
    try {
      return await found;
    } catch (error) {
      if (error instanceof NodeError && error.code === "not_found") return undefined;
      throw error;
    }
  };
  return {
    size: async (name, asker) => (await orNone(service.stat({ name }, context(asker))))?.sizeBytes,
    async read({ name, offset, length }, asker) {
      const file = await orNone(service.open({ name }, context(asker)));
      if (file === undefined) return undefined;
      const end = Math.min(offset + length, file.record.sizeBytes);
      if (offset >= end) return new Uint8Array(0);
      const pieces: Uint8Array[] = [];
      for await (const piece of file.read({ start: offset, end }, asker.signal)) pieces.push(piece);
      return Buffer.concat(pieces);
    },
    async write(name, content, asker) {
      const source = (async function* () {
        yield await Promise.resolve(content);
      })();
      await service.put(source, { name, contentType: "", sizeBytes: content.length }, context(asker));
    },
  };
}
