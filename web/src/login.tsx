import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { ApiError, messageOf } from "./api.ts";
import { Logo } from "./parts/icons.tsx";
import { logIn } from "./session.ts";

/** Trades the node's token for a cookie that scripts cannot read; the token itself is not kept. */
export function Login(): JSX.Element {
  const error = useSignal("");
  const busy = useSignal(false);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    const token = String(new FormData(event.target as HTMLFormElement).get("token") ?? "").trim();
    if (!/^[\x21-\x7e]+$/.test(token)) {
      error.value = "A token has no spaces and only plain characters. Copy it as it is.";
      return;
    }
    busy.value = true;
    try {
      await logIn(token);
    } catch (failure) {
      const problem = failure instanceof ApiError ? failure.problem : undefined;
      const isUnknown = problem?.status === 401 && problem.data?.["expiredAt"] === undefined;
      error.value = isUnknown ? "This is not the node's token." : messageOf(failure);
    } finally {
      busy.value = false;
    }
  }

  return (
    <main class="login">
      <form class="card" onSubmit={submit}>
        <Logo />
        <h1>Log in to this node</h1>
        <p class="quiet">
          It wants the token of its configuration (<code>rest.token</code>), or one that was made for a part of what it
          does. You stay logged in for 12 hours.
        </p>
        <label>
          <span>Token</span>
          <input
            name="token"
            type="password"
            autocomplete="current-password"
            required
            autofocus
            spellcheck={false}
            aria-invalid={error.value !== ""}
            aria-describedby="login-error"
          />
        </label>
        <p id="login-error" class="field-error" role="alert">{error.value}</p>
        <button type="submit" class="button primary" disabled={busy.value}>Log in</button>
      </form>
    </main>
  );
}
