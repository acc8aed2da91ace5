/** Packets per second, and what was dropped for which reason. */
import { useMemo } from "preact/hooks";
import { count } from "../shared/numbers";
import { Block, Scroll } from "./block";
import { Chart, type Line } from "./chart";
import { latest, sum, type Recent, type Series } from "./recent";
import { steps } from "./steps";
import type { Shown } from "./watch";

const WAYS: Line[] = [
  { label: "from clients", colour: "series-1" },
  { label: "to clients", colour: "series-2" },
];
const DROPPED: Line = { label: "dropped", colour: "bad", scale: "right" };

export function PacketsBlock({ shown, look }: { shown: Shown; look: number }) {
  const { range, recent, byDoor } = shown;
  const isLive = range.name === "live";
  const picture = useMemo(() => pictureOf(shown), [range, byDoor, isLive ? recent : null]);
  const drops = recent ? dropsOf(recent) : [];
  const dropped = drops.reduce((all, drop) => all + drop.now, 0);
  return (
    <Block name="packets" title="Packets per second" command="turnstone status" trouble={shown.troubles.figures}
      aside={
        <ul class="key">
          <li><span class="swatch s1" />in {recent ? count(latest(recent.packetsIn)) : "-"}</li>
          <li><span class="swatch s2" />out {recent ? count(latest(recent.packetsOut)) : "-"}</li>
          <li><span class="swatch drop" />dropped {count(dropped)}</li>
        </ul>
      }>
      {picture && (
        <Chart words={words(shown)} lines={picture.lines} data={picture.data} from={picture.from} to={picture.to}
          isStepped={!isLive} axis={short} least={5} look={look} />
      )}
      <Scroll label="Dropped packets by reason">
        {drops.length === 0 ? (
          <p class="muted">{recent ? "Nothing was dropped in the last five minutes." : "No figures yet."}</p>
        ) : (
          <table>
            <thead>
              <tr><th scope="col">Dropped because</th><th scope="col" class="figure">now/s</th><th scope="col" class="figure">5 min</th></tr>
            </thead>
            <tbody>
              {drops.map((drop) => (
                <tr key={drop.reason}>
                  <th scope="row" title={drop.reason}>{drop.title}</th>
                  <td class="figure">{count(drop.now)}</td>
                  <td class="figure">{count(drop.all)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Scroll>
    </Block>
  );
}

function dropsOf(recent: Recent) {
  const drops = recent.drops.map(({ reason, title, per_s }) => ({ reason, title, now: latest(per_s), all: sum(per_s) }));
  return drops.filter(({ all }) => all > 0).sort((one, other) => other.now - one.now || other.all - one.all);
}

/** Longer ranges come from the roll-ups, which know nothing of drops. */
function pictureOf({ range, recent, byDoor }: Shown) {
  if (range.name === "live") {
    if (!recent) return null;
    const times = recent.times;
    const dropped: Series = times.map((_, at) =>
      recent.packetsIn[at] == null ? null : recent.drops.reduce((all, drop) => all + (drop.per_s[at] ?? 0), 0));
    const data = [times, recent.packetsIn, recent.packetsOut, dropped];
    return { lines: [...WAYS, DROPPED], data, from: times[0] ?? 0, to: recent.last };
  }
  if (!byDoor) return null;
  const { times, packetsIn, packetsOut } = steps(byDoor, range, recent?.last ?? Date.parse(byDoor.to) / 1000);
  return { lines: WAYS, data: [times, packetsIn, packetsOut], from: times[0] ?? 0, to: times.at(-1) ?? 0 };
}

function words({ range, recent }: Shown): string {
  const now = recent ? `${count(latest(recent.packetsIn))} in and ${count(latest(recent.packetsOut))} out` : "nothing known";
  return `Packets per second in ${range.words}: now ${now}`;
}

/** `12k`: an axis has little room. */
function short(value: number): string {
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) {
    if (value >= unit) return `${Number((value / unit).toPrecision(3))}${letter}`;
  }
  return String(Number(value.toPrecision(3)));
}
