import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { getJson } from "../api.ts";
import type { Module, PeerList } from "../api-types.ts";
import { epoch } from "../live.ts";
import { parseMoney, UNITS } from "../money.ts";
import type { Unit } from "../money.ts";
import { useResource } from "../resource.ts";
import type { AnyWish } from "../task-run.ts";

/** What was last wished of any provider; it survives a look at another page. */
const wish = { price: signal(""), unit: signal<Unit>("gwei"), region: signal("") };

/** What is asked of any provider; undefined while the price that was typed is none. */
export function anyWish(): AnyWish | undefined {
  const price = wish.price.value.trim() === "" ? undefined : parseMoney(wish.price.value, UNITS[wish.unit.value]);
  if (wish.price.value.trim() !== "" && price === undefined) return undefined;
  const region = wish.region.value.trim();
  return { ...(price !== undefined && { maxPrice: String(price) }), ...(region !== "" && { region }) };
}

export interface AnyFieldsProps {
  /** The module that is brought along instead of a plugin. */
  readonly module: Module | undefined;
  readonly plugin: string;
  readonly onPlugin: (name: string) => void;
  readonly function: string;
  readonly onFunction: (name: string) => void;
}

/** Which of all known providers will do: what it has, costs at most, and where it says it is. */
export function AnyFields(props: AnyFieldsProps): JSX.Element {
  const peers = useResource<PeerList>((abort) => getJson("v1/peers", abort), [epoch.value]);
  const claims = (peers.value?.peers ?? []).flatMap(({ claims }) => claims ?? []);
  const plugins = new Set(claims.flatMap((one) => one.plugins.filter(({ ready }) => ready).map(({ name }) => name)));
  const regions = new Set(claims.map(({ region }) => region).filter((region) => region !== ""));
  const wrong = anyWish() === undefined;
  return (
    <>
      <div class="fields">
        {props.module === undefined && (
          <Suggested
            label="Plugin"
            of={plugins}
            placeholder="their default"
            value={props.plugin}
            onInput={props.onPlugin}
          />
        )}
        <Suggested
          label="Function"
          of={new Set(props.module?.functions)}
          placeholder="its first"
          value={props.function}
          onInput={props.onFunction}
        />
        <Suggested
          label="Region"
          of={regions}
          placeholder="anywhere"
          value={wish.region.value}
          onInput={(text) => wish.region.value = text}
        />
      </div>
      <div class="fields">
        <label>
          <span>Costs at most</span>
          <input
            inputMode="decimal"
            autocomplete="off"
            placeholder="any price"
            aria-invalid={wrong}
            {...(wrong && { "aria-describedby": "price-problem" })}
            value={wish.price.value}
            onInput={(event) => wish.price.value = event.currentTarget.value}
          />
        </label>
        <label>
          <span>Unit</span>
          <select value={wish.unit.value} onChange={(event) => wish.unit.value = event.currentTarget.value as Unit}>
            {Object.keys(UNITS).map((name) => <option key={name}>{name}</option>)}
          </select>
        </label>
      </div>
      {wrong && (
        <p id="price-problem" class="field-error" role="status">
          {`Not an amount in ${wish.unit.value}: a number with at most ${
            UNITS[wish.unit.value]
          } digits behind the point.`}
        </p>
      )}
      <p class="quiet small">
        {peers.value?.total === 0
          ? "This node knows no providers yet: add some under Peers."
          : "The best of the known providers that fit takes it: by score, price and latency."}
      </p>
    </>
  );
}

interface SuggestedProps {
  readonly label: string;
  readonly of: ReadonlySet<string>;
  readonly placeholder: string;
  readonly value: string;
  readonly onInput: (text: string) => void;
}

function Suggested({ label, of, placeholder, value, onInput }: SuggestedProps): JSX.Element {
  const list = `any-${label.toLowerCase()}`;
  return (
    <label>
      <span>{label}</span>
      <input
        type="text"
        list={list}
        placeholder={placeholder}
        value={value}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      <datalist id={list}>{[...of].map((one) => <option key={one} value={one} />)}</datalist>
    </label>
  );
}
