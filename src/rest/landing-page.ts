import type { NodeInfo } from "../core/mod.ts";
import { html } from "./html.ts";
import { LOGO, page } from "./page.ts";

export interface LandingView {
  readonly info: NodeInfo;
  readonly health: { readonly ready: boolean; readonly reasons: readonly string[] };
  /** How the reader reaches the node, such as `http://127.0.0.1:3000`. */
  readonly origin: string;
}

/** The page at `/`: what the node is, whether it is well, and where to go on. */
export function renderLanding({ info, health, origin }: LandingView): string {
  const state = health.ready
    ? html`
      <span class="state">ready</span>
    `
    : html`
      <span class="state bad">not ready</span> <span class="quiet">${health.reasons.join("; ")}</span>
    `;
  const plugins = info.plugins.map(({ name, version, description, ready }) =>
    html`
      <li><code>${name}@${version}</code> <span class="quiet">${ready ? description : "not ready"}</span></li>
    `
  );
  const example = info.plugins.find((plugin) => plugin.isDefault && plugin.ready);
  return page({
    title: `${info.name} · Velas Sphere`,
    body: html`
      <main class="card">
        <div class="hello">${LOGO}<h1>${info.name}</h1></div>
        <p class="lead">A Velas Sphere node. It runs tasks for others and sends its owner's tasks to its peers.</p>
        <dl class="facts">
          <dt>State</dt>
          <dd>${state}</dd>
          <dt>Node id</dt>
          <dd><code>${info.nodeId}</code></dd>
          <dt>Version</dt>
          <dd>${info.version}</dd>
          <dt>Plugins</dt>
          <dd>${plugins.length === 0
            ? html`
              <span class="quiet">none</span>
            `
            : html`
              <ul>${plugins}</ul>
            `}</dd>
        </dl>
        ${example && html`
          <figure class="sample">
            <figcaption>Run a task</figcaption>
            <pre><code>curl -d '{"input":"hello"}' ${origin}/task</code></pre>
          </figure>
        `}
        <nav class="doors" aria-label="Pages">
          <a href="/v1/docs"><b>Documentation</b><span>Every call, with examples</span></a>
          <a href="/v1/tasks"><b>Tasks</b><span>What was asked, as JSON</span></a>
          <a href="/v1/plugins"><b>Plugins</b><span>What it can run, as JSON</span></a>
          <a href="/v1/node"><b>Description</b><span>What it tells its peers</span></a>
          <a href="/metrics"><b>Metrics</b><span>For Prometheus</span></a>
          <a href="/readyz"><b>Health</b><span>Whether it takes requests</span></a>
        </nav>
      </main>
    `,
  });
}
