import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  type DependencyFiles,
  faultsOf,
  type LockedPackage,
  type PackageFile,
  readAudit,
  unpinnedRequirements,
} from "../../tools/dependency-rules.ts";
import { test } from "../testing.ts";

const INTEGRITY = `sha512-${"A".repeat(86)}==`;
const GOOD: LockedPackage = { version: "1.2.3", integrity: INTEGRITY, license: "MIT" };

/** A project with one dependency, `one`, that keeps to every rule but for what is changed. */
function project(
  { locked = {}, direct = "1.2.3", reasons = "| `one` | why |\n", allowScripts = {}, installed }: {
    locked?: LockedPackage;
    direct?: string;
    reasons?: string;
    allowScripts?: Record<string, boolean>;
    installed?: PackageFile;
  } = {},
): DependencyFiles {
  return {
    manifest: { dependencies: { one: direct }, allowScripts },
    lock: {
      lockfileVersion: 3,
      packages: { "": { dependencies: { one: direct } }, "node_modules/one": { ...GOOD, ...locked } },
    },
    reasons,
    installed: () => installed,
  };
}

test("a package that is pinned, hashed, licensed and explained is fine", () => {
  assert.deepEqual(faultsOf(project()), []);
  assert.deepEqual(faultsOf(project({ installed: { version: "1.2.3", license: "MIT" } })), []);
  const scripted = { locked: { ...GOOD, hasInstallScript: true }, allowScripts: { one: true } };
  assert.deepEqual(faultsOf(project(scripted)), []);
  for (const license of ["(MIT OR GPL-3.0)", "Apache-2.0 AND BSD-3-Clause", "0BSD"]) {
    assert.deepEqual(faultsOf(project({ locked: { ...GOOD, license } })), []);
  }
  const resolved = "https://registry.example/one/-/one-1.2.3.tgz";
  assert.deepEqual(faultsOf(project({ locked: { ...GOOD, resolved } })), []);
});

const { integrity: _, ...UNHASHED } = GOOD;
const BROKEN: readonly (readonly [what: string, files: DependencyFiles, fault: RegExp])[] = [
  ["a range", project({ direct: "^1.2.3" }), /one is not pinned: package\.json says "\^1\.2\.3"/],
  ["a tag", project({ direct: "latest" }), /one is not pinned/],
  [
    "a lock file of another version of package.json",
    {
      ...project(),
      lock: { lockfileVersion: 3, packages: { "": { dependencies: { one: "1.2.2" } }, "node_modules/one": GOOD } },
    },
    /one is 1\.2\.3 in package\.json and 1\.2\.2 in package-lock\.json/,
  ],
  [
    "no hash",
    {
      ...project(),
      lock: { lockfileVersion: 3, packages: { "": { dependencies: { one: "1.2.3" } }, "node_modules/one": UNHASHED } },
    },
    /one has no SHA-512/,
  ],
  ["a weak hash", project({ locked: { integrity: "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=" } }), /one has no SHA-512/],
  [
    "git",
    project({ locked: { resolved: "git+ssh://git@example.com/one.git#abc" } }),
    /does not come from the registry/,
  ],
  ["a folder", project({ locked: { link: true } }), /does not come from the registry/],
  ["plain HTTP", project({ locked: { resolved: "http://a.example/one.tgz" } }), /does not come from the registry/],
  ["a licence with duties", project({ locked: { license: "GPL-3.0-only" } }), /one has the licence "GPL-3\.0-only"/],
  ["both of two licences", project({ locked: { license: "(MIT AND GPL-3.0)" } }), /one has the licence/],
  [
    "a licence that only the package itself says",
    project({ installed: { version: "1.2.3", license: "SSPL-1.0" } }),
    /SSPL/,
  ],
  ["an install script", project({ locked: { hasInstallScript: true } }), /one runs a script when it is installed/],
  [
    "an install script that the lock file does not tell of",
    project({ installed: { version: "1.2.3", license: "MIT", scripts: { postinstall: "curl" } } }),
    /one runs a script when it is installed/,
  ],
  ["leave for a script that is not there", project({ allowScripts: { one: true } }), /one is in allowScripts/],
  ["no reason", project({ reasons: "" }), /one has no line in docs\/dependencies\.md/],
  ["an empty reason", project({ reasons: "| `one` |  |\n" }), /one has no line/],
  ["a reason for what is gone", project({ reasons: "| `one`, `two` | why |\n" }), /two has a line in docs/],
  ["another version installed", project({ installed: { version: "1.2.4", license: "MIT" } }), /installed as 1\.2\.4/],
];

for (const [what, files, fault] of BROKEN) {
  test(`the gate refuses ${what}`, () => {
    const faults = faultsOf(files);
    assert.ok(faults.length > 0 && faults.some((each) => fault.test(each)), JSON.stringify(faults));
  });
}

test("the lock file of this project is read as a whole", () => {
  const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
  const lock = JSON.parse(read("package-lock.json"));
  const files = { manifest: JSON.parse(read("package.json")), lock, reasons: read("docs/dependencies.md") };
  assert.deepEqual(faultsOf({ ...files, installed: () => undefined }), []);
  lock.packages["node_modules/viem"].integrity = "";
  assert.equal(faultsOf({ ...files, installed: () => undefined }).length, 1);
});

test("requirements of Python are pinned", () => {
  assert.deepEqual(unpinnedRequirements("r.txt", "# why\n-r other.txt\nnumpy==2.4.6 # here too\n\n"), []);
  const faults = unpinnedRequirements("r.txt", "numpy\nonnx>=1\ngit+https://example.com/x\n--index-url x\n");
  assert.equal(faults.length, 4, JSON.stringify(faults));
});

test("what npm audit printed is told apart from a registry that does not offer it", () => {
  const counts = { info: 0, low: 1, moderate: 0, high: 1, critical: 0, total: 2 };
  const report = {
    auditReportVersion: 2,
    vulnerabilities: { one: { severity: "high", range: "<2" }, two: { severity: "low" } },
    metadata: { vulnerabilities: counts },
  };
  assert.deepEqual(readAudit(JSON.stringify(report)), { isOffered: true, found: counts, severe: ["one <2 (high)"] });
  const refused = { message: "405 Method Not Allowed", statusCode: 405, error: {} };
  assert.deepEqual(readAudit(JSON.stringify(refused)), { isOffered: false, why: "405 Method Not Allowed" });
  assert.equal(readAudit("").isOffered, false);
  assert.equal(readAudit("{}").isOffered, false);
});
