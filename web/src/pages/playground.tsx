import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { getJson, query } from "../api.ts";
import type { NodeInfo, Plugin } from "../api-types.ts";
import { bytes } from "../format.ts";
import { features } from "../features.ts";
import { epoch } from "../live.ts";
import { DropZone } from "../parts/drop-zone.tsx";
import { Icon } from "../parts/icons.tsx";
import { Failure, Text } from "../parts/states.tsx";
import { useResource } from "../resource.ts";
import { rememberTarget, targets } from "../targets.ts";
import { submitTask, TaskWatch } from "../task-run.ts";
import { AnyFields, anyWish } from "./any-fields.tsx";
import { chosenModule, ModuleChoice } from "./module-choice.tsx";
import { TaskProgress } from "./task-progress.tsx";

/** What was last filled in; it survives a look at another page. */
const form = {
  /** What stands in the field, and what of it counts: half an address is asked for nothing. */
  typed: signal(""),
  target: signal(""),
  /** Whether the node chooses the provider. */
  any: signal(false),
  plugin: signal(""),
  function: signal(""),
  text: signal("hello"),
  file: signal<File | undefined>(undefined),
  timeoutMs: signal(""),
  memoryMiB: signal(""),
};

const watch = new TaskWatch();
const started = signal<{ readonly id: string; readonly target: string } | undefined>(undefined);
const busy = signal(false);
const refused = signal<unknown>(undefined);

async function run(): Promise<void> {
  const { plugin, file, text, timeoutMs, memoryMiB } = form;
  const any = form.any.value ? anyWish() : undefined;
  if (busy.value || (form.any.value && any === undefined)) return;
  const target = form.any.value ? "" : form.target.value.trim();
  busy.value = true;
  refused.value = undefined;
  try {
    const task = await submitTask({
      target,
      ...(any !== undefined && { any }),
      plugin: chosenModule.value?.sha256 ?? plugin.value,
      function: form.function.value,
      input: file.value ?? text.value,
      ...(timeoutMs.value === "" ? {} : { timeoutMs: Number(timeoutMs.value) }),
      ...(memoryMiB.value === "" ? {} : { memoryBytes: Number(memoryMiB.value) * 2 ** 20 }),
    });
    const where = task.target ?? target;
    started.value = { id: task.id, target: where };
    watch.watch(task.id, where);
    rememberTarget(target);
  } catch (error) {
    refused.value = error;
  } finally {
    busy.value = false;
  }
}

/** Pick a provider, a plugin and a function, give it something, and see what it makes of it. */
export function Playground(): JSX.Element {
  const any = form.any.value;
  const target = any ? "" : form.target.value.trim();
  const offered = useResource<NodeInfo>((abort) => getJson(`v1/node${query({ target })}`, abort), [
    target,
    epoch.value,
  ]);
  const plugins = (offered.value?.plugins ?? []).filter(({ ready }) => ready);
  const plugin = plugins.find(({ name }) => name === form.plugin.value) ??
    (form.plugin.value === "" ? plugins.find(({ isDefault }) => isDefault) : undefined);
  const chosen = useMemo(() => plugin?.functions.find(({ name }) => name === form.function.value), [
    plugin,
    form.function.value,
  ]);
  const module = chosenModule.value;
  const refuses = target !== "" && offered.value !== undefined && (offered.value.moduleBytes ?? 0) === 0;
  return (
    <section class="panel playground" aria-labelledby="playground">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void run();
        }}
      >
        <h2 id="playground">Run a task</h2>
        <PlaceChoice />
        {any
          ? (
            <AnyFields
              module={module}
              plugin={form.plugin.value}
              onPlugin={(name) => form.plugin.value = name}
              function={form.function.value}
              onFunction={(name) => form.function.value = name}
            />
          )
          : (
            <>
              <div class="fields">
                <TargetField />
                {module === undefined && <PluginPicker plugins={plugins} />}
                <FunctionPicker names={module?.functions ?? plugin?.functions.map(({ name }) => name) ?? []} />
              </div>
              {offered.error !== undefined && <Failure error={offered.error} retry={offered.reload} />}
              {module === undefined && chosen !== undefined && chosen.description !== "" && (
                <p class="quiet small">
                  <Text of={chosen.description} />
                </p>
              )}
            </>
          )}
        {features.value.has("modules") && (
          <ModuleChoice
            {...(refuses && { refuses: target })}
            onChange={() => form.function.value = ""}
          />
        )}
        <Input />
        <details>
          <summary>Limits</summary>
          <div class="fields">
            <label>
              <span>Time, ms</span>
              <input
                type="number"
                min="1"
                placeholder="the node's default"
                value={form.timeoutMs.value}
                onInput={(event) => form.timeoutMs.value = event.currentTarget.value}
              />
            </label>
            <label>
              <span>Memory, MiB</span>
              <input
                type="number"
                min="1"
                placeholder="the node's default"
                value={form.memoryMiB.value}
                onInput={(event) => form.memoryMiB.value = event.currentTarget.value}
              />
            </label>
          </div>
        </details>
        <div class="buttons">
          <button type="submit" class="button primary" disabled={busy.value || (any && anyWish() === undefined)}>
            <Icon name="tasks" />
            {busy.value ? "Sending" : "Run"}
          </button>
          <span class="small quiet">or Ctrl Enter</span>
        </div>
        {refused.value !== undefined && <Failure error={refused.value} />}
      </form>
      <div class="result" aria-live="polite">
        {started.value === undefined
          ? <p class="quiet placeholder">What the task says and gives shows here, as it happens.</p>
          : <TaskProgress view={watch.view.value} target={started.value.target} />}
      </div>
    </section>
  );
}

/** One provider, or the best of all that are known. */
function PlaceChoice(): JSX.Element {
  const choices = [[false, "One provider"], [true, "Any that fits"]] as const;
  return (
    <div class="segments" role="group" aria-label="Where it runs">
      {choices.map(([value, label]) => (
        <button
          key={label}
          type="button"
          aria-pressed={form.any.value === value}
          onClick={() => form.any.value = value}
        >
          {label}
        </button>
      ))}
    </div>
  );
}

function TargetField(): JSX.Element {
  return (
    <label>
      <span>Provider</span>
      <input
        list="targets"
        placeholder="this node"
        value={form.typed.value}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => form.typed.value = event.currentTarget.value}
        onChange={(event) => form.target.value = event.currentTarget.value}
      />
      <datalist id="targets">{targets.value.map((one) => <option key={one} value={one} />)}</datalist>
    </label>
  );
}

function PluginPicker({ plugins }: { readonly plugins: readonly Plugin[] }): JSX.Element {
  const choose = (name: string) => {
    form.plugin.value = name;
    form.function.value = "";
  };
  return (
    <label>
      <span>Plugin</span>
      <select value={form.plugin.value} onChange={(event) => choose(event.currentTarget.value)}>
        <option value="">its default</option>
        {plugins.map(({ name, version }) => <option key={name} value={name}>{`${name} ${version}`}</option>)}
      </select>
    </label>
  );
}

function FunctionPicker({ names }: { readonly names: readonly string[] }): JSX.Element {
  return (
    <label>
      <span>Function</span>
      <select value={form.function.value} onChange={(event) => form.function.value = event.currentTarget.value}>
        <option value="">its first</option>
        {names.map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  );
}

function Input(): JSX.Element {
  const file = form.file.value;
  return (
    <DropZone label="Drop a file to use it as the input" onFiles={([first]) => form.file.value = first}>
      {(pick) =>
        file === undefined
          ? (
            <div class="stack">
              <div class="row">
                <label for="input">
                  <span>Input</span>
                </label>
                <button type="button" class="link" onClick={pick}>use a file</button>
              </div>
              <textarea
                id="input"
                rows={6}
                spellcheck={false}
                value={form.text.value}
                onInput={(event) => form.text.value = event.currentTarget.value}
              />
            </div>
          )
          : (
            <div class="chosen-file">
              <Icon name="file" />
              <span class="grow">
                <Text of={file.name} /> <span class="quiet">{bytes(file.size)}</span>
              </span>
              <button type="button" class="link" onClick={() => form.file.value = undefined}>use text</button>
            </div>
          )}
    </DropZone>
  );
}
