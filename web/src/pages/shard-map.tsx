import type { JSX } from "preact";
import type { FileHealth, ShardHealth } from "../api-types.ts";
import { ago, counted, few } from "../format.ts";
import { SHARD_TONES } from "../parts/file-badge.tsx";
import { Text } from "../parts/states.tsx";

/** The shards of a file by the provider that keeps them. */
export function ShardMap({ health: { shards, margin, risk } }: { readonly health: FileHealth }): JSX.Element {
  const byProvider = Object.entries(Object.groupBy(shards, ({ provider }) => provider));
  return (
    <section aria-labelledby="shards">
      <header class="section-head">
        <h3 id="shards">Shards at {counted(byProvider.length, "provider")}</h3>
        <span class={`badge ${margin > 0 ? "ok" : margin === 0 ? "warn" : "bad"}`}>
          {margin < 0 ? "cannot be read" : margin === 0 ? "none may be lost" : `${margin} more may be lost`}
        </span>
      </header>
      <ul class="shard-map">
        {byProvider.map(([provider, held]) => (
          <li key={provider} class="provider">
            <b>
              <Text of={provider.replace(/^0x[0-9a-f]{40}@/i, "")} />
            </b>
            {held![0]!.region !== undefined && (
              <span class="small quiet">
                <Text of={held![0]!.region} />
              </span>
            )}
            <ul>{held!.map((shard) => <Shard key={shard.index} shard={shard} />)}</ul>
          </li>
        ))}
      </ul>
      <p class="small quiet">Chance to lose it within a year, from what is known of its providers: {percent(risk)}</p>
    </section>
  );
}

function Shard({ shard: { index, state, lastAuditAt, lastError } }: { readonly shard: ShardHealth }): JSX.Element {
  return (
    <li class={`shard ${SHARD_TONES[state]}`}>
      <span class="shard-index">{index}</span>
      <span>
        {state}
        {lastAuditAt !== undefined && <span class="small quiet">, audited {ago(lastAuditAt)}</span>}
        {lastError !== undefined && (
          <span class="small quiet">
            : <Text of={lastError} />
          </span>
        )}
      </span>
    </li>
  );
}

function percent(share: number): string {
  if (share === 0) return "none";
  return share < 0.0001 ? "below 0.01 %" : `${few(share * 100)} %`;
}
