// The page: who is here, and what they can test.

import { useEffect, useMemo, useReducer, useState } from "preact/hooks";
import { setTheme, theme } from "../shared/theme";
import type { Theme } from "../shared/theme";
import { Refusal, participants, subject } from "./arrival";
import type { Arrival, Participant } from "./arrival";
import { CallPanel } from "./call_panel";
import { IcePanel } from "./ice_panel";
import { Line } from "./line";
import { Login } from "./login";
import { SESSION } from "./words";

/** Who is here, and whom they call; `other` for who has the other's token to pass on. */
interface Here {
  token: string;
  peer: string;
  other?: Participant;
}

export function App({ arrival }: { arrival: Arrival }) {
  const [here, setHere] = useState<Here | undefined>(arrival.by === "token" ? arrival : undefined);
  const [refusal, setRefusal] = useState<Refusal>();
  const [isBusy, setBusy] = useState(false);

  const byKey = async (key: string) => {
    setBusy(true);
    setRefusal(undefined);
    try {
      const [me, other] = await participants(key);
      setHere({ token: me.token, peer: other.user, other });
    } catch (error) {
      setRefusal(error instanceof Refusal ? error : new Refusal("internal", String(error), ""));
    } finally {
      setBusy(false);
    }
  };
  const byTokens = (mine: string, others: string) => {
    const peer = subject(others);
    if (!subject(mine) || !peer) return setRefusal(new Refusal("bad_token", "That is no token.", "It has three parts with dots between."));
    setHere({ token: mine, peer, other: { user: peer, token: others } });
  };
  useEffect(() => {
    if (arrival.by === "key") void byKey(arrival.key);
  }, []);

  return (
    <>
      {here ? (
        <Tests key={here.token} here={here} leave={() => setHere(undefined)} />
      ) : (
        <>
          <Top />
          <main class="narrow">
            <Login isBusy={isBusy} refusal={refusal} byKey={(key) => void byKey(key)} byTokens={byTokens} />
          </main>
        </>
      )}
    </>
  );
}

function Tests({ here, leave }: { here: Here; leave: () => void }) {
  const [, changed] = useReducer<number, void>((count) => count + 1, 0);
  const line = useMemo(() => new Line(here.token, () => changed()), []);
  useEffect(() => {
    line.connect();
    return () => line.close();
  }, []);
  const me = line.client.user || subject(here.token) || "?";
  return (
    <>
      <Top>
        <span role="status" class={line.state === "connected" ? "good" : line.state === "closed" ? "bad" : "warn"} data-signaling={line.state}>
          {SESSION[line.state]}
        </span>
        <span class="who">as <bdi>{me}</bdi></span>
        <button class="quiet" onClick={leave}>Log out</button>
      </Top>
      <main>
        <IcePanel servers={() => line.client.iceServers()} />
        <CallPanel line={line} me={me} peer={here.peer} other={here.other} />
      </main>
    </>
  );
}

function Top({ children }: { children?: preact.ComponentChildren }) {
  const [chosen, choose] = useState<Theme>(theme());
  const change = (next: Theme) => {
    setTheme(next);
    choose(next);
  };
  return (
    <header class="top">
      <h1>Turnstone <span class="muted">test page</span></h1>
      <div class="state">{children}</div>
      <label class="theme">
        <span class="unseen">Colours</span>
        <select value={chosen} onChange={(event) => change(event.currentTarget.value as Theme)}>
          <option value="system">system colours</option>
          <option value="light">light</option>
          <option value="dark">dark</option>
        </select>
      </label>
    </header>
  );
}
