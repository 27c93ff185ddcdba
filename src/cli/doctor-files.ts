import { silentLog, systemClock } from "../core/mod.ts";
import { bookFindings, failure, type Finding } from "./doctor-checks.ts";
import type { Store } from "../storage/mod.ts";

export interface CheckOwnFilesOptions {
  readonly dataDir: string;
  readonly passphrase: string | undefined;
  readonly repair: boolean;
}

/** What this node knows of the files that it keeps at others: each needs a manifest that its key opens, and that says what the record says. */
export async function checkOwnFiles(store: Store, { repair, ...place }: CheckOwnFilesOptions): Promise<Finding[]> {
  const name = "files";
  const { loadMasterKey } = await import("../storage/master-key-file.ts");
  const { checkFiles, fileKeyringOf } = await import("../requester/mod.ts");
  const findings: Finding[] = [];
  let masterKey: Uint8Array | undefined;
  try {
    masterKey = await loadMasterKey({ ...place, log: silentLog });
  } catch (error) {
    findings.push({ ...failure(name, error), cure: "Until then only the form of manifests is checked" });
  }
  const keys = masterKey && fileKeyringOf(masterKey);
  const { files, problems } = await checkFiles(store.files, { keys, repair, now: systemClock.now() });
  if (files > 0 && keys === undefined && findings.length === 0) {
    findings.push({
      name,
      verdict: "fail",
      detail: `There are records of ${files} files, and the master key that opens them is gone`,
      cure: "Put the file master-key back from a backup: without it they cannot be read",
    });
  }
  findings.push(...bookFindings(problems, { name, repair, cure: CURE }));
  if (findings.length > 0) return findings;
  const detail = files === 0 ? "none are kept at others yet" : `${files}, each with its manifest`;
  return [{ name, verdict: "ok", detail }];
}

const CURE = "velas-sphere file import with a copy of the manifest, or velas-sphere restore of a backup";
