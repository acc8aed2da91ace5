/** What `/v1/usage` tells by door and step, as series. */
import type { Traffic, Usage, UsageRow } from "./api";
import type { Range } from "./range";
import type { Door, Series } from "./recent";

export interface Steps {
  /** Seconds since 1970: the start of each step, and the end of the last one. */
  times: number[];
  doors: Door[];
  packetsIn: Series;
  packetsOut: Series;
}

/** The name of a row without one. */
const REST = "other";

export const nameOf = (row: UsageRow): string => row.door ?? row.subject ?? REST;

/** `now`: of the daemon, seconds since 1970; the last step is not over. */
export function steps(usage: Usage, range: Range, now: number): Steps {
  const [from, to] = [usage.from, usage.to].map((time) => Date.parse(time) / 1000) as [number, number];
  const first = Math.floor(from / range.step_s) * range.step_s;
  const length = Math.max(1, Math.ceil((to - first) / range.step_s));
  const times = Array.from({ length: length + 1 }, (_, at) => first + at * range.step_s);
  const passed = times.map((start) => Math.min(range.step_s, Math.max(1, now - start)));
  const place = (row: UsageRow) => Math.round((Date.parse(row.start ?? usage.from) / 1000 - first) / range.step_s);

  /** Per second, of some rows. */
  const series = (rows: UsageRow[], figure: (row: Traffic) => number): Series => {
    const sums = new Array<number>(length).fill(0);
    for (const row of rows) {
      const at = place(row);
      if (at >= 0 && at < length) sums[at] = (sums[at] ?? 0) + figure(row);
    }
    const rates = sums.map((sum, at) => sum / (passed[at] ?? range.step_s));
    // A step reaches to the next time, and the last one has none behind it.
    return [...rates, rates.at(-1) ?? 0];
  };
  const names = [...new Set(usage.usage.map(nameOf))].sort();
  const doors = names.map((door) => {
    const rows = usage.usage.filter((row) => nameOf(row) === door);
    return { door, in: series(rows, (row) => row.bytes_from_client * 8), out: series(rows, (row) => row.bytes_from_peer * 8) };
  });
  const all = usage.usage;
  const packets = [series(all, (row) => row.packets_from_client), series(all, (row) => row.packets_from_peer)] as const;
  return { times, doors, packetsIn: packets[0], packetsOut: packets[1] };
}
