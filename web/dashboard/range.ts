/** How far back the charts look. */
export type RangeName = "live" | "1h" | "24h" | "30d";

export interface Range {
  name: RangeName;
  title: string;
  /** In a sentence: "in the last hour". */
  words: string;
  /** As `/v1/usage` and `turnstone usage` take it. */
  since: string;
  /** Of one step: what roll-ups there are. */
  period: "minute" | "hour" | "day";
  step_s: number;
  /** How often it is worth asking, in milliseconds. */
  every: number;
}

export const RANGES: readonly Range[] = [
  { name: "live", title: "Live", words: "the last five minutes", since: "5m", period: "minute", step_s: 1, every: 5_000 },
  { name: "1h", title: "1 h", words: "the last hour", since: "1h", period: "minute", step_s: 60, every: 15_000 },
  { name: "24h", title: "24 h", words: "the last 24 hours", since: "24h", period: "hour", step_s: 3600, every: 60_000 },
  { name: "30d", title: "30 d", words: "the last 30 days", since: "30d", period: "day", step_s: 86_400, every: 300_000 },
];

export const rangeOf = (name: RangeName): Range => RANGES.find((range) => range.name === name) as Range;
