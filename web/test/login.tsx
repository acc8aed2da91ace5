// For who came without a key or a token in the address.

import { useState } from "preact/hooks";
import type { Refusal } from "./arrival";

export function Login({ isBusy, refusal, byKey, byTokens }: {
  isBusy: boolean;
  refusal: Refusal | undefined;
  byKey: (key: string) => void;
  byTokens: (mine: string, others: string) => void;
}) {
  const [key, setKey] = useState("");
  const [mine, setMine] = useState("");
  const [others, setOthers] = useState("");
  // Without a secret of its own the server has no tokens to give.
  const needsTokens = refusal?.code === "no_jwt_secret";
  return (
    <>
      {refusal && <p class="trouble" role="alert"><b>{refusal.message}</b> {refusal.hint}</p>}
      <form class="panel" aria-labelledby="key-title" onSubmit={(event) => (event.preventDefault(), byKey(key.trim()))}>
        <header><h2 id="key-title">Log in with an API key</h2></header>
        <label for="key">API key with the scope <code>mint</code></label>
        <input id="key" type="password" autocomplete="off" spellcheck={false} value={key} onInput={(event) => setKey(event.currentTarget.value)} />
        <p class="muted">Make one: <code>turnstone api-key new --scope mint</code>. It stays in the memory of this tab, and makes two users for ten minutes.</p>
        <div class="actions"><button class="primary" disabled={isBusy || key.trim() === ""}>{isBusy ? "Logging in …" : "Log in"}</button></div>
      </form>
      <details class="panel" open={needsTokens}>
        <summary>With two tokens of your own issuer</summary>
        <form aria-label="Log in with two tokens" onSubmit={(event) => (event.preventDefault(), byTokens(mine.trim(), others.trim()))}>
          <label for="mine">Token of the user in this tab</label>
          <input id="mine" type="password" autocomplete="off" spellcheck={false} value={mine} onInput={(event) => setMine(event.currentTarget.value)} />
          <label for="others">Token of the second participant</label>
          <input id="others" type="password" autocomplete="off" spellcheck={false} value={others} onInput={(event) => setOthers(event.currentTarget.value)} />
          <div class="actions"><button class="primary" disabled={!mine.trim() || !others.trim()}>Log in</button></div>
        </form>
      </details>
    </>
  );
}
