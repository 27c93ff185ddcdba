import type { ComponentChildren, ComponentType, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { loginNeeded } from "./api.ts";
import { features, featuresAsked } from "./features.ts";
import { connection, node } from "./live.ts";
import { Login } from "./login.tsx";
import { Files } from "./pages/files.tsx";
import { Overview } from "./pages/overview.tsx";
import { Payments } from "./pages/payments.tsx";
import { Peers } from "./pages/peers.tsx";
import { Plugins } from "./pages/plugins.tsx";
import { Settings } from "./pages/settings.tsx";
import { Tasks } from "./pages/tasks.tsx";
import { Icon, Logo } from "./parts/icons.tsx";
import type { IconName } from "./parts/icons.tsx";
import { Empty, Loading, Text } from "./parts/states.tsx";
import { Toasts } from "./parts/toasts.tsx";
import { href, route } from "./route.ts";
import { logOut, may, session } from "./session.ts";
import type { Scope } from "./session.ts";
import { theme } from "./theme.ts";

interface Page {
  readonly name: string;
  readonly icon: IconName;
  readonly view: ComponentType;
  /** Shown only when the node has it. */
  readonly needs?: string;
  /** What a token must be for, one of these, to see it. */
  readonly scopes: readonly Scope[];
}

const PAGES: Readonly<Record<string, Page>> = {
  overview: { name: "Overview", icon: "overview", view: Overview, scopes: ["read"] },
  tasks: { name: "Tasks", icon: "tasks", view: Tasks, scopes: ["read", "tasks"] },
  files: { name: "Files", icon: "files", view: Files, needs: "files", scopes: ["read", "files"] },
  plugins: { name: "Plugins", icon: "plugins", view: Plugins, scopes: ["read", "tasks", "plugins"] },
  peers: { name: "Peers", icon: "peers", view: Peers, needs: "peers", scopes: ["read", "admin"] },
  payments: { name: "Payments", icon: "payments", view: Payments, scopes: ["read", "payments"] },
  settings: { name: "Settings", icon: "settings", view: Settings, needs: "config", scopes: ["admin"] },
};

/** The frame of every page: where one is, where one can go, and whether the node is there. */
export function Shell(): JSX.Element {
  if (loginNeeded.value) return <Login />;
  const { page } = route.value;
  const pages = featuresAsked.value
    ? Object.entries(PAGES).filter(([, { needs }]) => needs === undefined || features.value.has(needs))
    : [];
  const current = PAGES[page];
  return (
    <div class="shell">
      <a class="skip" href="#content" onClick={skip}>Skip to the content</a>
      <header class="side">
        <a class="brand" href={href("overview")}>
          <Logo />
          <span>Velas Sphere</span>
        </a>
        <nav aria-label="Pages">
          {pages.map(([key, { name, icon }]) => (
            <a key={key} href={href(key)} aria-current={key === page ? "page" : undefined}>
              <Icon name={icon} />
              <span>{name}</span>
            </a>
          ))}
          {featuresAsked.value && (
            <a class="on-wide" href="v1/docs">
              <Icon name="api" />
              <span>API</span>
            </a>
          )}
        </nav>
        <footer>
          <NodeCard />
          <div class="buttons">
            <a class="plain on-narrow" href="v1/docs" aria-label="API">
              <Icon name="api" />
            </a>
            <button type="button" class="plain" onClick={theme.next} title={`Colors: ${theme.value}`}>
              <Icon name={theme.value === "auto" ? "auto" : theme.value === "dark" ? "moon" : "sun"} />
              <span class="small">Colors: {theme.value}</span>
            </button>
          </div>
        </footer>
      </header>
      <main id="content" tabIndex={-1}>
        <Banner />
        {!featuresAsked.value
          ? <Loading rows={5} />
          : current === undefined
          ? (
            <Empty icon="warn" title="There is no such page" level={2}>
              <p>
                <a href={href("overview")}>Go to the overview</a>
              </p>
            </Empty>
          )
          : <PageFrame key={page} {...current} />}
      </main>
      <Toasts />
    </div>
  );
}

function PageFrame({ name, view: View, scopes }: Page): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  const title = node.value?.name;
  useEffect(() => {
    document.title = title === undefined ? `${name} · Velas Sphere` : `${name} · ${title}`;
  }, [title]);
  return (
    <>
      <h1 ref={heading}>{name}</h1>
      {may(scopes) ? <View /> : <NotForToken scopes={scopes} />}
    </>
  );
}

/** What stands where a page would that the token in use is not for. */
function NotForToken({ scopes }: { readonly scopes: readonly Scope[] }): JSX.Element {
  const { token = "", scopes: has = [] } = session.value ?? {};
  return (
    <Empty icon="warn" title="This token is not for this page" level={2}>
      <p>
        The token <b>{token}</b> has the {has.length === 1 ? "scope" : "scopes"} {has.join(", ")}; this page needs{" "}
        {list(scopes)}. Log in with another token, or let the node's operator add the scope.
      </p>
      <button type="button" class="button" onClick={logOut}>Log out</button>
    </Empty>
  );
}

function list(scopes: readonly Scope[]): ComponentChildren {
  return scopes.map((scope, place) => (
    <>
      {place > 0 && (place === scopes.length - 1 ? " or " : ", ")}
      <code>{scope}</code>
    </>
  ));
}

function NodeCard(): JSX.Element {
  const info = node.value;
  const state = connection.value;
  const words = { live: "connected", connecting: "connecting", gone: "not reachable" }[state];
  return (
    <div class="node-card">
      <span class={`dot ${state}`} aria-hidden="true" />
      <div>
        <b>{info === undefined ? "This node" : <Text of={info.name} />}</b>
        <span class="small quiet">
          {words}
          {info !== undefined && ` · ${info.version}`}
        </span>
        <TokenLine />
      </div>
    </div>
  );
}

/** Which token the page uses, when it is not one for everything. */
function TokenLine(): JSX.Element | null {
  const { token, scopes = [] } = session.value ?? {};
  if (token === undefined || token === "rest.token") return null;
  return <span class="small quiet">token {token}: {scopes.join(", ")}</span>;
}

function Banner(): JSX.Element | null {
  if (connection.value !== "gone") return null;
  return (
    <div class="banner" role="status">
      <span class="dot gone" aria-hidden="true" />
      <span>
        <b>The node does not answer.</b>{" "}
        It may be stopped or restarting. This page keeps trying and goes on by itself; what it shows is from before.
      </span>
    </div>
  );
}

/** The hash is the route, so the link moves the focus itself. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("content")?.focus();
}
