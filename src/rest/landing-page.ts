import type { NodeInfo } from "../core/mod.ts";
import { markup } from "./html.ts";
import { LOGO, page } from "./page.ts";

const DOORS = [
  ["/v1/docs", "Documentation", "Every call, with examples"],
  ["/v1/tasks", "Tasks", "What was asked, as JSON"],
  ["/v1/plugins", "Plugins", "What it can run, as JSON"],
  ["/v1/node", "Description", "What it tells its peers"],
  ["/metrics", "Metrics", "For Prometheus"],
  ["/readyz", "Health", "Whether it takes requests"],
] as const;

export interface LandingView {
  readonly info: NodeInfo;
  readonly health: { readonly ready: boolean; readonly reasons: readonly string[] };
  /** How the reader reaches the node, such as `http://127.0.0.1:3000`. */
  readonly origin: string;
}

/** The page at `/`: what the node is, whether it is well, and where to go on. */
export function renderLanding({ info, health, origin }: LandingView): string {
  const state = health.ready
    ? markup`<span class="state">ready</span>`
    : markup`<span class="state bad">not ready</span> <span class="quiet">${health.reasons.join("; ")}</span>`;
  const plugins = info.plugins.map(({ name, version, description, ready }) =>
    markup`<li><code>${name}@${version}</code> <span class="quiet">${ready ? description : "not ready"}</span></li>`
  );
  const hasDefault = info.plugins.some((plugin) => plugin.isDefault && plugin.ready);
  const example = markup`<figure class="sample call"><figcaption>Run a task</figcaption>
<pre><code>curl -d '{"input":"hello"}' ${origin}/task</code></pre></figure>`;
  const body = markup`<main class="card">
  <div class="hello">${LOGO}<h1>${info.name}</h1></div>
  <p class="lead">A Velas Sphere node. It runs tasks for others and sends its owner's tasks to its peers.</p>
  <dl class="facts">
    <dt>State</dt><dd>${state}</dd>
    <dt>Node id</dt><dd><code>${info.nodeId}</code></dd>
    <dt>Version</dt><dd>${info.version}</dd>
    <dt>Plugins</dt><dd>${plugins.length > 0 ? markup`<ul>${plugins}</ul>` : "none"}</dd>
  </dl>
  ${hasDefault && example}
  <nav class="doors" aria-label="Pages">
    ${DOORS.map(([path, name, what]) => markup`<a href="${path}"><b>${name}</b><span>${what}</span></a>`)}
  </nav>
</main>`;
  return page({ title: `${info.name} · Velas Sphere`, body });
}
