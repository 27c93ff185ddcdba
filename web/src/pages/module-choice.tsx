import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { call } from "../api.ts";
import type { Module } from "../api-types.ts";
import { bytes } from "../format.ts";
import { DropZone } from "../parts/drop-zone.tsx";
import { Icon } from "../parts/icons.tsx";
import { Failure, Text } from "../parts/states.tsx";

/** A module that was chosen, under the name of its file. */
interface Chosen extends Module {
  readonly fileName: string;
}

/** The module that tasks bring along instead of a plugin; it survives a look at another page. */
export const chosenModule = signal<Chosen | undefined>(undefined);

const uploading = signal("");
const refused = signal<unknown>(undefined);

async function take(file: File): Promise<void> {
  uploading.value = file.name;
  refused.value = undefined;
  try {
    const response = await call("POST", "v1/modules", { body: file, type: "application/wasm" });
    chosenModule.value = { ...await response.json() as Module, fileName: file.name };
  } catch (error) {
    refused.value = error;
  } finally {
    uploading.value = "";
  }
}

export interface ModuleChoiceProps {
  /** A provider that says that it takes no modules. */
  readonly refuses?: string;
  /** Called when another module, or none, was chosen. */
  readonly onChange: () => void;
}

/** Lets one bring a module along instead of using a plugin. Nothing is installed: the node keeps it while there is room. */
export function ModuleChoice({ refuses, onChange }: ModuleChoiceProps): JSX.Element {
  const chosen = chosenModule.value;
  const choose = async ([file]: readonly File[]) => {
    await take(file!);
    onChange();
  };
  return (
    <DropZone label="Drop a WASM module to run it" accept=".wasm,application/wasm" onFiles={choose}>
      {(pick) => (
        <div class="stack">
          {chosen !== undefined && (
            <div class="chosen-file">
              <Icon name="plugins" />
              <span class="grow">
                <Text of={chosen.fileName} /> <span class="quiet">{bytes(chosen.sizeBytes)}</span>
                <span class="small quiet module-name">
                  <Text of={`${chosen.name} ${chosen.version}`} /> <code>{chosen.sha256.slice(0, 12)}…</code>
                </span>
              </span>
              <button
                type="button"
                class="link"
                onClick={() => {
                  chosenModule.value = undefined;
                  onChange();
                }}
              >
                use a plugin
              </button>
            </div>
          )}
          <div class="module-pick">
            <button type="button" class="link" disabled={uploading.value !== ""} onClick={pick}>
              {uploading.value !== ""
                ? "checking the module …"
                : chosen === undefined
                ? "bring a module"
                : "bring another"}
            </button>
            {chosen !== undefined && <span class="small quiet">runs without any permission, and is not installed</span>}
          </div>
          {chosen !== undefined && refuses !== undefined && (
            <p class="field-error" role="status">
              <Text of={refuses} /> takes no modules of others (<code>plugins.acceptModules</code>)
            </p>
          )}
          {refused.value !== undefined && <Failure error={refused.value} />}
        </div>
      )}
    </DropZone>
  );
}
