import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { messageOf, sendJson } from "../api.ts";
import type { CustodyStatement } from "../api-types.ts";
import { type CustodyAction, type Standing, standingOf } from "../custody.ts";
import { count, fullTime, time } from "../format.ts";
import { money, shortAddress } from "../money.ts";
import { Amount } from "../parts/amount.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Table } from "../parts/table.tsx";
import { toast } from "../parts/toasts.tsx";
import { href } from "../route.ts";

/** The most statements that are shown, those that want something done first. */
const MOST = 100;

const URGENCY = ["bad", "warn", "ok", "dim"];

/** Promises to keep a shard or to lose stake, as a table: how each stands, what it is worth, and what to do. */
export function CustodyRows(
  { statements, onDone }: { readonly statements: readonly CustodyStatement[]; readonly onDone: () => void },
): JSX.Element {
  const asking = useSignal<{ readonly statement: CustodyStatement; readonly action: CustodyAction } | undefined>(
    undefined,
  );
  const asked = asking.value;
  const now = Date.now();
  const rows = statements
    .map((statement) => ({ statement, standing: standingOf(statement, now) }))
    .sort((a, b) =>
      URGENCY.indexOf(a.standing.tone) - URGENCY.indexOf(b.standing.tone) ||
      a.statement.expiresAt.localeCompare(b.statement.expiresAt)
    );
  const act = async ({ statement: { id }, action }: { statement: CustodyStatement; action: CustodyAction }) => {
    try {
      await sendJson("POST", `v1/payments/custody/${id}/${action}`);
      toast("good", action === "challenge" ? "Challenged: it has a day to answer" : "Slashed");
    } catch (error) {
      toast("bad", messageOf(error));
    }
    onDone();
  };
  return (
    <>
      <Table columns={["State", "Shard", ["Provider", "wide"], ["Stake", "num"], ["Ends", "wide"], "What to do"]}>
        {rows.slice(0, MOST).map(({ statement, standing }) => (
          <CustodyRow
            key={statement.id}
            statement={statement}
            standing={standing}
            onAct={(action) => asking.value = { statement, action }}
          />
        ))}
      </Table>
      {rows.length > MOST && (
        <p class="small quiet note">
          {count(rows.length - MOST)} more: <code>velas-sphere payments custody</code> lists all.
        </p>
      )}
      {asked !== undefined && (
        <AskFirst
          {...asked}
          onClose={() => asking.value = undefined}
          onConfirm={() => void act(asked)}
        />
      )}
    </>
  );
}

interface RowProps {
  readonly statement: CustodyStatement;
  readonly standing: Standing;
  readonly onAct: (action: CustodyAction) => void;
}

function CustodyRow({ statement, standing, onAct }: RowProps): JSX.Element {
  const { shard, fileId, role, provider, requester, penalty, expiresAt } = statement;
  const { word, tone, todo, action } = standing;
  const name = `${shard.slice(0, 8)}…`;
  return (
    <tr>
      <td>
        <span class={`badge ${tone}`}>{word}</span>
      </td>
      <td class="name" title={shard}>
        {fileId === undefined ? <code>{name}</code> : <a href={href("files", "", { file: fileId })}>{name}</a>}
      </td>
      <td class="wide" title={provider}>
        {role === "provider" ? `this node, for ${shortAddress(requester)}` : shortAddress(provider)}
      </td>
      <td class="num">
        <Amount of={penalty} />
      </td>
      <td class="wide" title={fullTime(expiresAt)}>{time(expiresAt)}</td>
      <td>
        <span class="small">{todo}</span>{" "}
        {action !== undefined && (
          <button type="button" class="button small" onClick={() => onAct(action)}>
            {action === "challenge" ? "Challenge" : "Slash"}
          </button>
        )}
      </td>
    </tr>
  );
}

interface AskProps {
  readonly statement: CustodyStatement;
  readonly action: CustodyAction;
  readonly onClose: () => void;
  readonly onConfirm: () => void;
}

function AskFirst({ statement: { penalty, provider }, action, onClose, onConfirm }: AskProps): JSX.Element {
  return action === "challenge"
    ? (
      <Confirm
        title={`Challenge ${shortAddress(provider)}?`}
        action="Challenge"
        keep="Not now"
        tone="primary"
        onClose={onClose}
        onConfirm={onConfirm}
      >
        <p>
          One transaction asks for a leaf of the shard. This account pays its gas and a bond of 600,000 gas, which goes
          to the provider if it answers within a day. If it does not, it can be slashed by{" "}
          {money(penalty)}, and half of that is this node's.
        </p>
      </Confirm>
    )
    : (
      <Confirm
        title={`Slash ${shortAddress(provider)}?`}
        action="Slash"
        keep="Not now"
        tone="primary"
        onClose={onClose}
        onConfirm={onConfirm}
      >
        <p>
          It did not answer in time. It loses{" "}
          {money(penalty)}, or what stake it has left; half of it is this node's, and the bond comes back.
        </p>
      </Confirm>
    );
}
