/** Numbers and times as people read them. Each takes plain units and says its own. */

const RATES = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"] as const;
const SIZES = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** `1.23 Mbit/s` */
export const bitRate = (bps: number) => scaled(bps, RATES);

/** `1.23 GB`: powers of 1000, as `turnstone usage` has them. */
export const size = (bytes: number) => scaled(bytes, SIZES);

/** `12,345` */
export const count = (number: number) => Math.round(number).toLocaleString("en");

/** Three digits that matter. */
function scaled(value: number, units: readonly string[]): string {
  let [number, unit] = [value, 0];
  while (Math.abs(number) >= 999.5 && unit < units.length - 1) {
    number /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(number) >= 99.95 ? 0 : Math.abs(number) >= 9.995 ? 1 : 2;
  return `${number.toFixed(digits)} ${units[unit]}`;
}

/** `3 d 4 h`, `5 min 6 s`: the two units that matter. */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([number]) => number > 0);
  if (first < 0) return "0 s";
  const shown = parts.slice(first, first + 2).filter(([number]) => number > 0);
  return shown.map(([number, unit]) => `${number} ${unit}`).join(" ");
}

/** `14:03:05`, by the clock of the browser. */
export const clock = (at: Date) => at.toLocaleTimeString("en-GB");

/** `2026-11-21 14:03`, by the clock of the browser. */
export function moment(at: Date): string {
  const two = (number: number) => String(number).padStart(2, "0");
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}`;
}
