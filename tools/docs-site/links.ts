import { existsSync, globSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";

/** Every link of a built site that leads to no page, or to no part of one; with the page that has it. */
export function brokenLinks(folder: string): string[] {
  const pages = new Map(
    globSync("**/*.html", { cwd: folder }).map((
      name,
    ) => [name.replaceAll("\\", "/"), readFileSync(join(folder, name), "utf8")]),
  );
  const broken: string[] = [];
  for (const [name, html] of pages) {
    for (const [, link = ""] of html.matchAll(/\s(?:href|src)="([^"]*)"/g)) {
      if (/^[a-z][a-z0-9+.-]*:/i.test(link)) continue;
      const [path = "", hash] = link.replaceAll("&amp;", "&").split("#", 2);
      const to = path === "" ? name : posix.join(posix.dirname(name), path);
      const page = pages.get(to);
      if (page === undefined && !existsSync(join(folder, to))) broken.push(`${name}: ${link} leads nowhere`);
      else if (hash !== undefined && hash !== "" && page?.includes(`id="${hash}"`) === false) {
        broken.push(`${name}: ${to} has no part #${hash}`);
      }
    }
  }
  return broken;
}
