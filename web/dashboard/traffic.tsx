/** What is relayed, by door: from clients above the line, to clients below it. */
import { useMemo, useState } from "preact/hooks";
import { bitRate, size } from "../shared/numbers";
import { Block, Figure } from "./block";
import { Chart } from "./chart";
import { RANGES, type Range, type RangeName } from "./range";
import { latest, type Door, type Series } from "./recent";
import { steps } from "./steps";
import type { Shown } from "./watch";

/** Doors with colours of their own; the others share the last one. */
const COLOURS = 7;

interface Picture {
  times: number[];
  from: number;
  to: number;
  doors: readonly Door[];
}

export function TrafficBlock({ shown, look, onRange }: { shown: Shown; look: number; onRange: (name: RangeName) => void }) {
  const { range, recent, byDoor, status } = shown;
  const [pointed, setPointed] = useState<number | null>(null);
  const picture = useMemo(() => pictureOf(shown), [range, byDoor, range.name === "live" ? recent : null]);
  const stack = useMemo(() => picture && stacked(picture), [picture]);
  const doors = picture?.doors ?? [];
  const at = (series: Series) => (pointed === null ? latest(series) : (series[pointed] ?? 0));
  const [now_in, now_out] = [total(doors, (door) => at(door.in)), total(doors, (door) => at(door.out))];
  const command = range.name === "live" ? "turnstone top" : `turnstone usage --by door --period ${range.period} --since ${range.since}`;
  return (
    <Block name="traffic" title="Relayed, Mbit/s" command={command} trouble={shown.troubles.byDoor ?? shown.troubles.figures}
      aside={<><Totals status={status} /><Tabs range={range} onRange={onRange} /></>}>
      <div class="with-legend">
        <div class="plot">
          {stack && picture && (
            <Chart words={words(range, doors)} lines={stack.lines} data={stack.data} from={picture.from} to={picture.to}
              isStepped={range.name !== "live"} axis={(bps) => String(Number((bps / 1e6).toPrecision(3)))} least={100_000} isMirrored
              onPoint={setPointed} look={look} />
          )}
          <span class="above muted" aria-hidden="true">▲ from clients</span>
          <span class="below muted" aria-hidden="true">▼ to clients</span>
        </div>
        <table class="legend">
          <caption class="unseen">Bits per second by door, {pointed === null ? "latest" : "at the pointer"}</caption>
          <thead>
            <tr><th scope="col">Door</th><th scope="col" class="figure">In</th><th scope="col" class="figure">Out</th></tr>
          </thead>
          <tbody>
            {grouped(doors).map(({ door, ...way }, place) => (
              <tr key={door}>
                <th scope="row"><span class={`swatch s${place + 1}`} /><span class="name" title={door}>{door}</span></th>
                <td class="figure">{bitRate(at(way.in))}</td>
                <td class="figure">{bitRate(at(way.out))}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr><th scope="row">All</th><td class="figure">{bitRate(now_in)}</td><td class="figure">{bitRate(now_out)}</td></tr>
          </tfoot>
        </table>
      </div>
      {byDoor?.partial && <p class="note warn">Some of it is missing: the daemon did not end cleanly.</p>}
    </Block>
  );
}

function Tabs({ range, onRange }: { range: Range; onRange: (name: RangeName) => void }) {
  return (
    <div class="tabs" role="group" aria-label="How far back">
      {RANGES.map(({ name, title }) => (
        <button key={name} type="button" aria-pressed={name === range.name} onClick={() => onRange(name)}>{title}</button>
      ))}
    </div>
  );
}

/** The counters of `/metrics`, to the byte. */
function Totals({ status }: Pick<Shown, "status">) {
  if (!status) return null;
  const { bytes_from_client, bytes_from_peer } = status.traffic;
  return (
    <p class="totals muted">
      since the start <Figure name="bytes-in" value={bytes_from_client} text={size(bytes_from_client)} /> in,{" "}
      <Figure name="bytes-out" value={bytes_from_peer} text={size(bytes_from_peer)} /> out
    </p>
  );
}

function pictureOf({ range, recent, byDoor }: Shown): Picture | null {
  if (range.name === "live") {
    if (!recent) return null;
    const times = recent.times;
    return { times, from: times[0] ?? 0, to: recent.last, doors: recent.doors };
  }
  if (!byDoor) return null;
  const { times, doors } = steps(byDoor, range, recent?.last ?? Date.parse(byDoor.to) / 1000);
  // The doors of now come first and in their order, so that each keeps its colour over all ranges.
  const order = recent?.doors.map(({ door }) => door) ?? [];
  const place = ({ door }: Door) => (order.indexOf(door) + order.length + 1) % (order.length + 1);
  return { times, from: times[0] ?? 0, to: times.at(-1) ?? 0, doors: doors.sort((one, other) => place(one) - place(other)) };
}

/** Doors beyond the colours are one. */
function grouped(doors: readonly Door[]): Door[] {
  const [own, rest] = [doors.slice(0, COLOURS), doors.slice(COLOURS)];
  if (rest.length === 0) return own;
  const added = (way: "in" | "out"): Series => (rest[0]?.[way] ?? []).map((_, at) => total(rest, (door) => door[way][at] ?? 0));
  return [...own, { door: `${rest.length} more`, in: added("in"), out: added("out") }];
}

/** The highest area is drawn first, and each next one over it. */
function stacked(picture: Picture) {
  const doors = grouped(picture.doors);
  const lines = [], data = [];
  for (const [way, sign] of [["in", 1], ["out", -1]] as const) {
    const isKnown = picture.times.map((_, at) => doors.some((door) => door[way][at] != null));
    for (let top = doors.length - 1; top >= 0; top -= 1) {
      const below = doors.slice(0, top + 1);
      lines.push({ label: `${doors[top]?.door} ${way}`, colour: `series-${top + 1}`, isArea: true });
      data.push(isKnown.map((known, at) => (known ? sign * total(below, (door) => door[way][at] ?? 0) : null)));
    }
  }
  return { lines, data: [picture.times, ...data] };
}

function words(range: Range, doors: readonly Door[]): string {
  const all = (["in", "out"] as const).map((way) => {
    const sums = (doors[0]?.[way] ?? []).map((_, at) => total(doors, (door) => door[way][at] ?? 0));
    return `${bitRate(sums.at(-1) ?? 0)} now, ${bitRate(Math.max(0, ...sums))} at most`;
  });
  return `Relayed in ${range.words}: from clients ${all[0]}; to clients ${all[1]}`;
}

const total = (doors: readonly Door[], value: (door: Door) => number): number =>
  doors.reduce((sum, door) => sum + value(door), 0);
