/** Sessions now, and how full the relay is. */
import { bitRate, count } from "../shared/numbers";
import type { Capacity, Gauge } from "./api";
import { Block, Figure } from "./block";
import type { Shown } from "./watch";

const GAUGES: { name: keyof Capacity; title: string; text: (value: number) => string; free: string }[] = [
  { name: "sessions", title: "Sessions", text: count, free: "no limit but the ports" },
  { name: "ports", title: "Relay ports", text: count, free: "" },
  { name: "descriptors", title: "Descriptors", text: count, free: "" },
  { name: "bandwidth_bps", title: "Bandwidth", text: bitRate, free: "no cap set" },
];

export function GaugesBlock({ shown }: { shown: Shown }) {
  const { figures, status } = shown;
  const sessions = figures?.capacity.sessions.now ?? 0;
  return (
    <Block name="gauges" title="Sessions now" command="turnstone status" trouble={shown.troubles.status}>
      <div class="now">
        <p class="big"><Figure name="sessions" value={sessions} text={figures ? count(sessions) : "-"} /></p>
        {status && (
          <dl class="facts">
            <div><dt>Connections</dt><dd>{count(status.connections)}</dd></div>
            <div><dt>Signaling</dt><dd>{status.signaling.enabled ? count(status.signaling.sessions) : "off"}</dd></div>
            <div><dt>Rooms</dt><dd>{count(status.signaling.rooms)}</dd></div>
            <div><dt>Calls</dt><dd>{count(status.signaling.calls)}</dd></div>
          </dl>
        )}
      </div>
      {figures && GAUGES.map((gauge) => <Meter key={gauge.name} {...gauge} gauge={figures.capacity[gauge.name]} />)}
    </Block>
  );
}

interface MeterProps {
  title: string;
  text: (value: number) => string;
  free: string;
  gauge: Gauge;
}

function Meter({ title, text, free, gauge: { now, max } }: MeterProps) {
  const value = now === null ? "unknown" : text(now);
  if (max === null || now === null) {
    return <div class="meter"><p><span>{title}</span><span>{value} <span class="muted">{free}</span></span></p></div>;
  }
  const part = max > 0 ? Math.min(1, now / max) : 0;
  const percent = `${(part * 100).toFixed(part < 0.1 ? 1 : 0)} %`;
  const level = part >= 0.9 ? "full" : part >= 0.75 ? "high" : "";
  return (
    <div class="meter">
      <p><span>{title}</span><span>{value} <span class="muted">of {text(max)}, {percent}</span></span></p>
      <div class="bar" role="meter" aria-label={title} aria-valuemin={0} aria-valuemax={max} aria-valuenow={Math.min(now, max)}
        aria-valuetext={`${value} of ${text(max)}`}>
        <div class={`fill ${level}`} style={{ width: `${part * 100}%` }} />
      </div>
    </div>
  );
}
