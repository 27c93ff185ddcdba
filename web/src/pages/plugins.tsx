import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { call, getJson, messageOf, sendJson } from "../api.ts";
import type { Plugin } from "../api-types.ts";
import { bytes, count, duration } from "../format.ts";
import { epoch, node, sample } from "../live.ts";
import { Copy } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { DropZone } from "../parts/drop-zone.tsx";
import { Icon } from "../parts/icons.tsx";
import { Empty, Loaded, Text } from "../parts/states.tsx";
import { toast } from "../parts/toasts.tsx";
import { useChange, useResource } from "../resource.ts";

const refOf = ({ name, version }: Plugin) => encodeURIComponent(`${name}@${version}`);

/** What the node can run: install by dropping a module, switch on and off, remove. */
export function Plugins(): JSX.Element {
  const plugins = useResource<{ plugins: readonly Plugin[] }>((abort) => getJson("v1/plugins", abort), [epoch.value]);
  const installing = useSignal("");
  // The meters move with the readings.
  useChange(sample, plugins.reload);

  async function install(files: readonly File[]): Promise<void> {
    for (const file of files) {
      installing.value = file.name;
      try {
        const response = await call("POST", "v1/plugins", { body: file, type: "application/wasm" });
        const { name, version } = await response.json() as Plugin;
        toast("good", `Installed ${name} ${version}`);
      } catch (error) {
        toast("bad", `${file.name}: ${messageOf(error)}`);
      }
    }
    installing.value = "";
    plugins.reload();
  }

  return (
    <>
      <DropZone label="Drop WASM modules to install them" accept=".wasm,application/wasm" multiple onFiles={install}>
        {(pick) => (
          <div class="drop-target">
            <Icon name="upload" />
            <div class="grow">
              <b>
                {installing.value === "" ? "Install a plugin" : (
                  <>
                    Installing <Text of={installing.value} /> …
                  </>
                )}
              </b>
              <p class="quiet small">
                Drop a <code>.wasm</code>{" "}
                module made with any Extism PDK. It runs without files, network or clock, and takes tasks at once.
              </p>
            </div>
            <button type="button" class="button primary" disabled={installing.value !== ""} onClick={pick}>
              Choose a file
            </button>
          </div>
        )}
      </DropZone>
      <Limits />
      <Loaded of={plugins} rows={4}>
        {({ plugins: list }) =>
          list.length === 0
            ? (
              <Empty icon="plugins" title="No plugins">
                <p>Without one this node runs nothing. Install one above.</p>
              </Empty>
            )
            : (
              <div class="cards">
                {list.map((plugin) => <PluginCard key={refOf(plugin)} plugin={plugin} onChange={plugins.reload} />)}
              </div>
            )}
      </Loaded>
    </>
  );
}

/** What every task is held to, whichever plugin runs it. */
function Limits(): JSX.Element {
  const limits = node.value?.limits;
  const show = (value: number | undefined, how: (value: number) => string) => value === undefined ? "–" : how(value);
  const shown: readonly (readonly [name: string, value: string])[] = [
    ["Input", show(limits?.inputBytes, bytes)],
    ["Output", show(limits?.outputBytes, bytes)],
    ["Memory", show(limits?.memoryBytes, bytes)],
    ["Time", show(limits?.timeoutMs, duration)],
    ["Instructions", show(limits?.instructions, count)],
  ];
  return (
    <section class="panel limits" aria-labelledby="limits">
      <h2 id="limits">The most that a task may have</h2>
      <Numbers of={shown} />
      <p class="quiet small">
        Set by <code>tasks.max…</code> of the configuration. Instructions are counted of WASM only.
      </p>
    </section>
  );
}

function Numbers({ of }: { readonly of: readonly (readonly [name: string, value: string])[] }): JSX.Element {
  return (
    <dl class="numbers">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** What the plugin was used for since the node started. */
function Meters({ plugin: { used, runtime, gpu } }: { readonly plugin: Plugin }): JSX.Element {
  if (used === undefined) return <p class="quiet small">Not called since the node started.</p>;
  return (
    <Numbers
      of={[
        ["Calls", count(used.calls)],
        ["Failed", count(used.failed)],
        ["Time", duration(used.wallMicros / 1000)],
        ...runtime === "wasm" ? [["Instructions", count(used.instructions)] as const] : [],
        ...gpu === undefined ? [] : [
          ["GPU", duration(used.gpuMicros / 1000)] as const,
          ["Wait for the GPU", count(gpu.waiting)] as const,
        ],
      ]}
    />
  );
}

function PluginCard({ plugin, onChange }: { readonly plugin: Plugin; readonly onChange: () => void }): JSX.Element {
  const asks = useSignal(false);
  const { name, version, description, functions, runtime, ready, enabled, problem, isDefault, sha256 } = plugin;
  const attempt = async (action: () => Promise<unknown>, done: string) => {
    try {
      await action();
      toast("good", done);
    } catch (error) {
      toast("bad", messageOf(error));
    }
    onChange();
  };
  const setEnabled = (to: boolean) =>
    attempt(() => sendJson("PATCH", `v1/plugins/${refOf(plugin)}`, { enabled: to }), `${name} is ${to ? "on" : "off"}`);
  const remove = () => attempt(() => sendJson("DELETE", `v1/plugins/${refOf(plugin)}`), `Removed ${name} ${version}`);
  return (
    <article class={`panel plugin ${enabled ? "" : "off"}`} aria-label={`${name} ${version}`}>
      <header>
        <h2>
          <Text of={name} /> <span class="quiet">{version}</span>
        </h2>
        {isDefault && <span class="badge accent">default</span>}
        <span class={`badge ${ready ? "ok" : enabled ? "bad" : "dim"}`}>
          {ready ? "ready" : enabled ? "not ready" : "off"}
        </span>
        <label class="switch">
          <input
            type="checkbox"
            role="switch"
            checked={enabled}
            aria-label={`${name} takes tasks`}
            onChange={(event) => setEnabled(event.currentTarget.checked)}
          />
        </label>
      </header>
      {description !== "" && (
        <p>
          <Text of={description} />
        </p>
      )}
      {problem !== undefined && enabled && (
        <p class="field-error">
          <Text of={problem} />
        </p>
      )}
      <ul class="functions">
        {functions.map((one) => (
          <li key={one.name}>
            <code>
              <Text of={one.name} />
            </code>{" "}
            <span class="quiet small">
              <Text of={one.description} />
            </span>
          </li>
        ))}
      </ul>
      <Meters plugin={plugin} />
      <footer>
        <span class="small quiet">
          {runtime === "wasm" ? "WASM" : "gRPC"}
          {plugin.sizeBytes !== undefined && `, ${bytes(plugin.sizeBytes)}`}
          {plugin.address !== undefined && (
            <>
              , at <Text of={plugin.address} />
            </>
          )}
        </span>
        {sha256 !== "" && <Copy text={sha256} short />}
        <button
          type="button"
          class="plain danger"
          aria-label={`Remove ${name} ${version}`}
          onClick={() => asks.value = true}
        >
          <Icon name="trash" />
        </button>
      </footer>
      {asks.value && (
        <Confirm
          title={
            <>
              Remove <Text of={name} /> {version}?
            </>
          }
          action="Remove"
          onConfirm={remove}
          onClose={() => asks.value = false}
        >
          <p>Its module is deleted from this node. Tasks that run it end first; new ones are refused.</p>
        </Confirm>
      )}
    </article>
  );
}
