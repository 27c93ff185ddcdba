import { type FilePolicy, NodeError, type PutFileOptions, targetName } from "../core/mod.ts";
import { checkPolicy, MAX_FILE_BYTES, MAX_NAME_BYTES } from "../codec/mod.ts";

/** What a put is asked to do, checked. */
export interface PutOrder {
  readonly name: string;
  readonly contentType: string;
  readonly policy: FilePolicy;
  readonly sizeBytes: number | undefined;
  readonly targets: readonly string[] | undefined;
  readonly allowFewer: boolean;
  readonly resume: string | undefined;
  readonly onProgress: PutFileOptions["onProgress"];
}

/** Throws `invalid_argument` for whatever no put can do. */
export function checkOrder(options: PutFileOptions, defaultPolicy: FilePolicy): PutOrder {
  const { name, policy = defaultPolicy, sizeBytes, targets, allowFewer = false, resume, onProgress } = options;
  const contentType = options.contentType || "application/octet-stream";
  checkName(name);
  checkPolicy(policy);
  if (contentType.length > 255 || !/^[\x20-\x7e]+$/.test(contentType)) {
    throw new NodeError(
      "invalid_argument",
      `The content type ${
        JSON.stringify(contentType.slice(0, 100))
      } cannot be kept: use up to 255 printable ASCII characters`,
      { data: { field: "contentType" } },
    );
  }
  if (sizeBytes !== undefined && (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > MAX_FILE_BYTES)) {
    throw new NodeError("invalid_argument", `A file cannot have ${sizeBytes} bytes; at most ${MAX_FILE_BYTES}`, {
      data: { field: "sizeBytes" },
    });
  }
  return {
    name,
    contentType,
    policy,
    sizeBytes,
    targets: targets === undefined || targets.length === 0 ? undefined : targets.map(targetName),
    allowFewer,
    resume,
    onProgress,
  };
}

/** Throws `invalid_argument` unless a file can have the name: 1 to 4,096 bytes of UTF-8. */
export function checkName(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes >= 1 && bytes <= MAX_NAME_BYTES && name.isWellFormed()) return;
  const problem = bytes < 1 ? "is empty" : bytes > MAX_NAME_BYTES ? `has ${bytes} bytes` : "is no valid Unicode";
  throw new NodeError("invalid_argument", `The name ${problem}; use 1 to ${MAX_NAME_BYTES} bytes of UTF-8`, {
    data: { field: "name" },
  });
}
