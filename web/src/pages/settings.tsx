import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { getJson } from "../api.ts";
import type { Setting } from "../api-types.ts";
import { epoch } from "../live.ts";
import { Empty, Loaded, Text } from "../parts/states.tsx";
import { useResource } from "../resource.ts";
import { logOut, session } from "../session.ts";

/** What the node runs with. Nothing is changed here: a setting is changed where it comes from. */
export function Settings(): JSX.Element {
  const settings = useResource<{ settings: readonly Setting[] }>((abort) => getJson("v1/config", abort), [epoch.value]);
  const wanted = useSignal("");
  const changed = useSignal(false);
  return (
    <>
      <p class="lead">
        What the node runs with, and where each value comes from. To change one, change its flag, variable or file and
        start the node again.
      </p>
      <div class="filters">
        <label class="grow find">
          <span class="visually-hidden">Find a setting</span>
          <input
            type="search"
            placeholder="Find a setting"
            onInput={(event) => wanted.value = event.currentTarget.value.toLowerCase()}
          />
        </label>
        <label class="check">
          <input type="checkbox" onChange={(event) => changed.value = event.currentTarget.checked} />
          <span>Only what is not the default</span>
        </label>
        <LogOut />
      </div>
      <Loaded of={settings} rows={8}>
        {({ settings: all }) => {
          const shown = all.filter((one) =>
            (one.key + one.description).toLowerCase().includes(wanted.value) &&
            (!changed.value || one.source !== "default")
          );
          if (shown.length === 0) return <Empty icon="settings" title="No setting matches" level={2} />;
          return Object.entries(Object.groupBy(shown, ({ key }) => key.split(".")[0]!)).map(([group, list]) => (
            <section key={group} class="panel settings">
              <h2>{group}</h2>
              <dl>{list!.map((setting) => <SettingRow key={setting.key} setting={setting} />)}</dl>
            </section>
          ));
        }}
      </Loaded>
    </>
  );
}

function SettingRow({ setting: { key, value, secret, isSet, source, description } }: { readonly setting: Setting }) {
  const shown = !isSet ? <span class="quiet">not set</span> : secret ? <span class="quiet">hidden</span> : (
    <code>
      <Text of={value ?? ""} />
    </code>
  );
  return (
    <div class={source === "default" ? "setting" : "setting changed"}>
      <dt>
        <code>{key}</code>
        <span class="small quiet">{description}</span>
      </dt>
      <dd>
        {shown}
        <span class="small quiet">
          <Text of={source} />
        </span>
      </dd>
    </div>
  );
}

function LogOut(): JSX.Element | null {
  if (session.value?.token === undefined) return null;
  return <button type="button" class="button" onClick={logOut}>Log out</button>;
}
