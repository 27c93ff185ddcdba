/** What every package that npm installs here must keep to. Pure, so that each rule can be tried with a package that breaks it. */

/** What a package may be licensed by: any use, any change, no duty to publish ours. */
const LICENCES = new Set(["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "0BSD"]);

/** Packages that say their licence in no form that npm reads, with what their own files say. */
const LICENCE_BY_HAND: Readonly<Record<string, string>> = {
  // "licenses" of its package.json, the form of before 2014.
  "memorystream@0.3.1": "MIT",
};

/** The parts of package.json that count here. */
export interface PackageFile {
  readonly name?: string;
  readonly version?: string;
  readonly license?: unknown;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly scripts?: Readonly<Record<string, string>>;
  /** Packages that may run a script when they are installed. */
  readonly allowScripts?: Readonly<Record<string, boolean>>;
}

/** One package of package-lock.json. */
export interface LockedPackage extends PackageFile {
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
}

export interface DependencyFiles {
  readonly manifest: PackageFile;
  readonly lock: { readonly lockfileVersion?: number; readonly packages: Readonly<Record<string, LockedPackage>> };
  /** docs/dependencies.md */
  readonly reasons: string;
  /** The package.json of a package that is installed, by its place in the lock file; nothing for one that is not. */
  readonly installed: (place: string) => PackageFile | undefined;
}

/** Every rule that is broken, as a sentence that names the package and the cure. */
export function faultsOf({ manifest, lock, reasons, installed }: DependencyFiles): string[] {
  const faults: string[] = [];
  if (lock.lockfileVersion !== 3) faults.push(`package-lock.json is of version ${lock.lockfileVersion}, not 3`);
  const direct = { ...manifest.dependencies, ...manifest.devDependencies };
  const root = lock.packages[""] ?? {};
  faults.push(...unpinned(direct), ...unlike(direct, { ...root.dependencies, ...root.devDependencies }));
  faults.push(...withoutReason(Object.keys(direct), reasons));
  const allowed = manifest.allowScripts ?? {};
  const places = Object.entries(lock.packages).filter(([place]) => place !== "");
  for (const [place, locked] of places) {
    const name = nameOf(place);
    const here = installed(place);
    faults.push(...sourceFaults(name, locked), ...licenceFaults(name, locked, here));
    const scripts = ["preinstall", "install", "postinstall"].filter((script) => here?.scripts?.[script] !== undefined);
    if ((locked.hasInstallScript === true || scripts.length > 0) && allowed[name] !== true) {
      faults.push(`${name} runs a script when it is installed: read it, then name it in allowScripts of package.json`);
    }
    if (here !== undefined && here.version !== locked.version) {
      faults.push(`${name} is installed as ${here.version}, and locked as ${locked.version}: install again`);
    }
  }
  const scripted = new Set(
    places.filter(([, { hasInstallScript }]) => hasInstallScript).map(([place]) => nameOf(place)),
  );
  for (const name of Object.keys(allowed).filter((name) => !scripted.has(name))) {
    faults.push(`${name} is in allowScripts of package.json and has no script to run: take it out`);
  }
  return faults;
}

function unpinned(direct: Readonly<Record<string, string>>): string[] {
  return Object.entries(direct).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)).map(
    ([name, version]) => `${name} is not pinned: package.json says "${version}"; write one exact version`,
  );
}

function unlike(direct: Readonly<Record<string, string>>, locked: Readonly<Record<string, string>>): string[] {
  const names = [...new Set([...Object.keys(direct), ...Object.keys(locked)])];
  return names.filter((name) => direct[name] !== locked[name]).map((name) =>
    `${name} is ${direct[name] ?? "absent"} in package.json and ${
      locked[name] ?? "absent"
    } in package-lock.json: run npm install --package-lock-only`
  );
}

/** The first column of the first two tables names every package that package.json names, and no other. */
function withoutReason(direct: readonly string[], reasons: string): string[] {
  const [npmPart = ""] = reasons.split(/^## The plugins in Python$/m);
  const rows = npmPart.split("\n").filter((line) => /^\| `/.test(line)).map((line) => line.split("|"));
  const explained = new Set(
    rows.filter(([, , why = ""]) => why.trim() !== "").flatMap(([, names = ""]) =>
      [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)
    ),
  );
  return [
    ...direct.filter((name) => !explained.has(name)).map((name) =>
      `${name} has no line in docs/dependencies.md: say there why it is needed`
    ),
    ...[...explained].filter((name) => !direct.includes(name)).map((name) =>
      `${name} has a line in docs/dependencies.md and is not in package.json: take the line out`
    ),
  ];
}

function sourceFaults(name: string, { resolved, integrity, link, version }: LockedPackage): string[] {
  const faults: string[] = [];
  if (link === true || (resolved !== undefined && !/^https:\/\/[^?#]+\.tgz$/.test(resolved))) {
    faults.push(`${name} does not come from the registry: package-lock.json says "${resolved ?? "a link"}"`);
  }
  if (version === undefined) faults.push(`${name} has no version in package-lock.json`);
  if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? "")) {
    faults.push(`${name} has no SHA-512 in package-lock.json: what is downloaded could be anything`);
  }
  return faults;
}

function licenceFaults(name: string, locked: LockedPackage, here: PackageFile | undefined): string[] {
  const byHand = LICENCE_BY_HAND[`${name}@${locked.version}`];
  const said = [locked.license, ...here === undefined ? [] : [here.license]].map((licence) => licence ?? byHand);
  return said.filter((licence) => !isAllowed(licence)).slice(0, 1).map((licence) =>
    `${name} has the licence ${JSON.stringify(licence)}, which is not one of ${[...LICENCES].join(", ")}`
  );
}

/** Reads an SPDX expression: one of what OR joins must be allowed, all of what AND joins. */
function isAllowed(licence: unknown): boolean {
  if (typeof licence !== "string") return false;
  const text = licence.trim();
  const inner = /^\(([^()]*)\)$/.exec(text)?.[1] ?? text;
  return inner.split(/\s+OR\s+/).some((part) => part.split(/\s+AND\s+/).every((one) => LICENCES.has(one.trim())));
}

function nameOf(place: string): string {
  return place.slice(place.lastIndexOf("node_modules/") + "node_modules/".length);
}

/** Lines of a requirements.txt that pip could read as another version tomorrow. */
export function unpinnedRequirements(file: string, text: string): string[] {
  return text.split("\n").map((line) => line.replace(/#.*/, "").trim()).filter((line) =>
    line !== "" && !/^-r \S+$/.test(line) && !/^[\w.-]+==\d[\w.]*$/.test(line)
  ).map((line) => `${file}: "${line}" is not pinned; write one exact version with ==`);
}

/** What `npm audit --json` found. */
export type AuditResult =
  | { readonly isOffered: false; readonly why: string }
  | { readonly isOffered: true; readonly found: Readonly<Record<string, number>>; readonly severe: readonly string[] };

/** Reads what `npm audit --json` printed. Not every registry answers it, and a machine may have no network. */
export function readAudit(printed: string): AuditResult {
  let report: {
    auditReportVersion?: number;
    message?: string;
    metadata?: { vulnerabilities?: Record<string, number> };
    vulnerabilities?: Record<string, { severity: string; range?: string }>;
  };
  try {
    report = JSON.parse(printed);
  } catch {
    return { isOffered: false, why: `npm audit printed no JSON: ${printed.slice(0, 200)}` };
  }
  if (report.auditReportVersion === undefined || report.metadata?.vulnerabilities === undefined) {
    return { isOffered: false, why: report.message ?? "the registry answered without a report" };
  }
  const severe = Object.entries(report.vulnerabilities ?? {})
    .filter(([, { severity }]) => severity === "high" || severity === "critical")
    .map(([name, { severity, range }]) => `${name} ${range ?? ""} (${severity})`);
  return { isOffered: true, found: report.metadata.vulnerabilities, severe };
}
