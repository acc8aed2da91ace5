/** The last five minutes by second, put together from answers that each tell what came since the one before. */
import type { Figures } from "./api";

/** Seconds that are shown. */
export const SECONDS = 300;

/** A value for each second; `null` for one that nobody told of. */
export type Series = (number | null)[];

export interface Door {
  door: string;
  /** Bits per second from clients, and to them. */
  in: Series;
  out: Series;
}

export interface Drop {
  reason: string;
  title: string;
  per_s: Series;
}

export class Recent {
  /** The number of the last sample. */
  readonly last: number;
  readonly doors: readonly Door[];
  readonly packetsIn: Series;
  readonly packetsOut: Series;
  readonly drops: readonly Drop[];

  private constructor(last: number, doors: Door[], packetsIn: Series, packetsOut: Series, drops: Drop[]) {
    this.last = last;
    this.doors = doors;
    this.packetsIn = packetsIn;
    this.packetsOut = packetsOut;
    this.drops = drops;
  }

  /** Seconds since 1970, one for each element of a series. */
  get times(): number[] {
    return Array.from({ length: SECONDS }, (_, at) => this.last - SECONDS + 1 + at);
  }

  /** `before` with what `told` adds. A daemon that started again may know other doors. */
  static after(before: Recent | null, told: Figures): Recent {
    const last = told.last_sample;
    const isPast = before !== null && before.last > last;
    const earlier = isPast ? null : before;
    const joined = (old: Series | undefined, added: number[]) => join(earlier?.last ?? last, old, told.first_sample, added, last);
    const doors = told.doors.map((door) => {
      const old = earlier?.doors.find((known) => known.door === door.door);
      return { door: door.door, in: joined(old?.in, door.bytes_in_bps), out: joined(old?.out, door.bytes_out_bps) };
    });
    const drops = told.drops.map((drop) => {
      const old = earlier?.drops.find((known) => known.reason === drop.reason);
      return { reason: drop.reason, title: drop.title, per_s: joined(old?.per_s, drop.per_s) };
    });
    const packetsIn = joined(earlier?.packetsIn, told.packets_in_pps);
    return new Recent(last, doors, packetsIn, joined(earlier?.packetsOut, told.packets_out_pps), drops);
  }
}

/** The window of seconds up to `last`: `old`, which ends at `oldLast`, and over it `added`, which begins at `first`. */
function join(oldLast: number, old: Series | undefined, first: number, added: number[], last: number): Series {
  const start = last - SECONDS + 1;
  return Array.from({ length: SECONDS }, (_, at) => {
    const number = start + at;
    if (number >= first) return added[number - first] ?? null;
    return old?.[SECONDS - 1 - (oldLast - number)] ?? null;
  });
}

/** The last value that is known. */
export function latest(series: Series): number {
  for (let at = series.length - 1; at >= 0; at -= 1) {
    const value = series[at];
    if (value != null) return value;
  }
  return 0;
}

export const sum = (series: Series): number => series.reduce<number>((all, value) => all + (value ?? 0), 0);
