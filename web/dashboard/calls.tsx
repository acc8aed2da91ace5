/** Calls that live, then those that ended, and why. */
import type { EndReason } from "../sdk/types";
import { clock, moment, size, span } from "../shared/numbers";
import type { Call } from "./api";
import { Block, Figure, Scroll } from "./block";
import type { Shown } from "./watch";

export function CallsBlock({ shown }: { shown: Shown }) {
  const calls = shown.calls?.calls;
  const live = calls?.filter((call) => call.state !== "ended").length ?? 0;
  return (
    <Block name="calls" title="Calls" command="turnstone calls" trouble={shown.troubles.calls}
      aside={calls && <p class="muted"><Figure name="calls" value={live} text={String(live)} /> now</p>}>
      <Scroll label="Calls, live ones first">
        {calls && calls.length > 0 ? (
          <table>
            <thead>
              <tr>
                <th scope="col">Start</th><th scope="col">From</th><th scope="col">To</th><th scope="col" class="figure extra">Lasted</th>
                <th scope="col" class="figure extra">Relayed</th><th scope="col">State or end</th>
              </tr>
            </thead>
            <tbody>{calls.map((call) => <Row key={call.id} call={call} now={shown.recent?.last ?? Date.now() / 1000} />)}</tbody>
          </table>
        ) : (
          <p class="muted">{calls ? "There were no calls yet." : "No answer yet."}</p>
        )}
      </Scroll>
    </Block>
  );
}

function Row({ call, now }: { call: Call; now: number }) {
  const isLive = call.state !== "ended";
  const started = new Date(call.started_at);
  const bytes = call.total.bytes_from_client + call.total.bytes_from_peer;
  const isToday = started.toDateString() === new Date(now * 1000).toDateString();
  return (
    <tr class={isLive ? "live" : ""} data-call={call.id}>
      <td><time dateTime={call.started_at}>{isToday ? clock(started) : moment(started)}</time></td>
      <td class="cut"><Name of={call.caller?.user} /></td>
      <td class="cut"><Name of={callee(call)} /></td>
      <td class="figure extra">{lasted(call, now)}</td>
      <td class="figure extra"><Figure value={bytes} text={bytes > 0 ? size(bytes) : "-"} /></td>
      <td class={isLive ? "good" : isBad(call) ? "bad" : ""} title={call.reason ?? ""}>{isLive ? STATES[call.state ?? "active"] : reason(call)}</td>
    </tr>
  );
}

function Name({ of }: { of: string | undefined }) {
  return of === undefined ? <>-</> : <bdi title={of}>{of}</bdi>;
}

function callee({ callee, room }: Call): string | undefined {
  if (callee && "user" in callee) return callee.user;
  return room ?? (callee && "room" in callee ? callee.room : undefined);
}

/** From the answer on; nothing for what nobody answered. */
function lasted(call: Call, now: number): string {
  if (call.answered_at === null) return "-";
  const ms = call.duration_ms ?? now * 1000 - Date.parse(call.answered_at);
  return span(ms / 1000);
}

const reason = ({ reason }: Call): string => (reason ? (REASONS[reason] ?? reason) : "ended");

const isBad = ({ reason }: Call): boolean => reason != null && FAULTS.has(reason);

const STATES = {
  ringing: "ringing", connecting: "connecting", active: "live", reconnecting: "reconnecting", ended: "ended",
} as const;

const REASONS: Record<EndReason, string> = {
  hangup: "hung up",
  cancelled: "given up by the caller",
  rejected: "declined",
  busy: "busy",
  no_answer: "nobody answered",
  offline: "not online",
  answered_elsewhere: "answered on another device",
  rejected_elsewhere: "declined on another device",
  ice_failed: "no path between them",
  ice_timeout: "no path in time",
  media_failed: "camera or sound failed",
  lost: "a side was lost",
  glare_merged: "both called: one call of it",
  blocked: "blocked",
  expired: "the token ended",
  max_duration: "the longest time was over",
  server_shutdown: "the daemon ended",
  error: "a fault of the app",
};

/** Ends that somebody should look into. */
const FAULTS = new Set<EndReason>(["ice_failed", "ice_timeout", "media_failed", "lost", "error"]);
