import packageJson from "../../package.json" with { type: "json" };

/** The software's version, as package.json has it. */
export const VERSION: string = packageJson.version;

/** Put in by tools/build-exe.ts. */
declare const VELAS_SPHERE_COMMIT: string | undefined;

/** The commit that the executable was built from; undefined when the software runs from its sources. */
export const COMMIT: string | undefined = typeof VELAS_SPHERE_COMMIT === "undefined" ? undefined : VELAS_SPHERE_COMMIT;

/** The version with the commit as build metadata (semver.org, section 10), where that is known: `0.1.0+1a2b3c4d5e6f`. */
export const FULL_VERSION: string = COMMIT === undefined ? VERSION : `${VERSION}+${COMMIT}`;
