// The ICE check: one row for each thing that was tried.

import type { IceServer } from "turnstone";
import { useEffect, useRef, useState } from "preact/hooks";
import { probes, run } from "./ice_check";
import type { Outcome, Probe } from "./ice_check";

interface Row {
  probe: Probe;
  outcome: Outcome | "waits" | "runs";
}

const WANTS = { host: "own addresses", srflx: "address as seen from outside", relay: "relay" };
const WAYS = { udp: "UDP", tcp: "TCP", tls: "TLS" };

export function IcePanel({ servers }: { servers: () => Promise<IceServer[]> }) {
  const [rows, setRows] = useState<Row[]>([]);
  const [trouble, setTrouble] = useState("");
  const [isRunning, setRunning] = useState(false);
  const abort = useRef<AbortController>(null);
  useEffect(() => () => abort.current?.abort(), []);

  const check = async () => {
    const { signal } = (abort.current = new AbortController());
    setRunning(true);
    setTrouble("");
    try {
      const all = probes(await servers());
      const outcomes: Row["outcome"][] = all.map(() => "waits");
      const show = () => setRows(all.map((probe, index) => ({ probe, outcome: outcomes[index] ?? "waits" })));
      for (const [index, probe] of all.entries()) {
        outcomes[index] = "runs";
        show();
        outcomes[index] = await run(probe, signal);
        if (signal.aborted) return;
        show();
      }
    } catch (error) {
      setTrouble((error as Error).message);
    } finally {
      setRunning(false);
    }
  };

  const done = rows.filter(({ outcome }) => typeof outcome !== "string").length;
  const worked = rows.filter(({ outcome }) => typeof outcome !== "string" && outcome.state !== "failed").length;
  const isOver = rows.length > 0 && done === rows.length;
  return (
    <section class="panel" aria-labelledby="ice-title">
      <header>
        <h2 id="ice-title">ICE check</h2>
        <span class="muted" role="status">
          {isRunning ? `${done} of ${rows.length || "?"} tried` : isOver ? `${worked} of ${rows.length} work` : ""}
        </span>
        <button class={isOver ? "" : "primary"} disabled={isRunning} onClick={() => void check()}>
          {isOver ? "Check again" : "Check every server"}
        </button>
      </header>
      {trouble && <p class="trouble" role="alert">{trouble}</p>}
      {rows.length === 0 && !trouble && (
        <p class="muted">
          Asks each STUN and TURN URL of this server by itself, from this browser and this network: what works, how long it
          takes, and if not, why.
        </p>
      )}
      {rows.length > 0 && (
        <table class="ice">
          <thead>
            <tr>
              <th scope="col">Server</th>
              <th scope="col">By</th>
              <th scope="col">Outcome</th>
              <th scope="col" class="figure">Time</th>
            </tr>
          </thead>
          <tbody>{rows.map((row) => <IceRow key={row.probe.label} {...row} />)}</tbody>
        </table>
      )}
    </section>
  );
}

function IceRow({ probe, outcome }: Row) {
  const state = typeof outcome === "string" ? outcome : outcome.state;
  return (
    <tr data-url={probe.label} data-state={state}>
      <th scope="row">
        <code>{probe.label}</code>
        <span class="muted">{WANTS[probe.wants]}</span>
      </th>
      <td>{probe.wants === "host" ? "" : WAYS[probe.way]}</td>
      <td><Told probe={probe} outcome={outcome} /></td>
      <td class="figure">{typeof outcome === "string" ? "" : `${Math.round(outcome.ms)} ms`}</td>
    </tr>
  );
}

function Told({ probe, outcome }: Row) {
  if (outcome === "waits") return <span class="muted">waits</span>;
  if (outcome === "runs") return <span class="muted">trying …</span>;
  const { state, found, why, detail } = outcome;
  if (state === "worked") {
    return (
      <>
        <b class="good">works</b>
        {found.slice(0, 6).map((address) => <span class="detail" key={address}>{address}</span>)}
        {found.length > 6 && <span class="detail">and {found.length - 6} more</span>}
      </>
    );
  }
  if (state === "direct") {
    return (
      <>
        <b class="good">works</b>
        <span class="why">No NAT between: the server sees an address that this device has itself.</span>
      </>
    );
  }
  return (
    <>
      <b class="bad">{probe.wants === "host" ? "nothing found" : "does not work"}</b>
      <span class="why">{why?.what} {why?.toDo}</span>
      {detail && <span class="detail">{detail}</span>}
    </>
  );
}
