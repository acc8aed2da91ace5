/** A chart over time by uPlot, which draws on a canvas; what it shows is also told in words. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { colour } from "../shared/theme";

export interface Line {
  label: string;
  /** A colour of base.css. */
  colour: string;
  /** Filled down to zero. */
  isArea?: boolean;
  scale?: "y" | "right";
}

export interface ChartProps {
  /** For who does not see it. */
  words: string;
  lines: readonly Line[];
  /** Seconds since 1970, then a series for each line. */
  data: (number | null)[][];
  /** Where the time axis begins and ends. */
  from: number;
  to: number;
  /** A value holds until the next one, instead of at one moment. */
  isStepped: boolean;
  /** What an axis says. */
  axis: (value: number) => string;
  /** The least that the axis reaches to, so that noise does not look like much; below zero too with `isMirrored`. */
  least: number;
  isMirrored?: boolean;
  /** Which sample is pointed at. */
  onPoint?: (at: number | null) => void;
  /** Changes with the colours. */
  look: number;
}

export function Chart(props: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const shape = JSON.stringify([props.lines, props.isStepped, props.isMirrored, props.look]);

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const made = new uPlot(options(latest, element), latest.current.data as uPlot.AlignedData, element);
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize(extent(element)));
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
    };
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(props.data as uPlot.AlignedData);
  }, [props.data, props.from, props.to]);

  return <div class="chart" role="img" aria-label={props.words} ref={place} />;
}

const extent = (element: Element) => ({ width: element.clientWidth, height: element.clientHeight });

function options(latest: { current: ChartProps }, element: Element): uPlot.Options {
  const { lines, isStepped, isMirrored } = latest.current;
  const [ink, grid] = [colour("muted"), colour("line")];
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const value = (_: uPlot, splits: number[]) => splits.map((split) => latest.current.axis(Math.abs(split)));
  const reach = (_: uPlot, low: number | null, high: number | null): [number, number] => {
    const most = Math.max(high ?? 0, latest.current.least);
    return [isMirrored ? Math.min(low ?? 0, -latest.current.least) * 1.08 : 0, most * 1.08];
  };
  const side = { stroke: ink, font, size: 46, gap: 4, ticks: { show: false }, values: value };
  const hasRight = lines.some((line) => line.scale === "right");
  return {
    ...extent(element),
    padding: [6, hasRight ? 0 : 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { setScale: false, x: false, y: false }, points: { show: false } },
    scales: {
      x: { time: true, range: () => [latest.current.from, latest.current.to] },
      y: { range: reach },
      right: { range: reach },
    },
    axes: [
      { stroke: ink, font, size: 22, gap: 4, space: 76, grid: { stroke: grid, width: 1 }, ticks: { show: false }, values: times },
      { ...side, scale: "y", space: 28, grid: { stroke: grid, width: 1 } },
      ...(hasRight ? [{ ...side, scale: "right", side: 1, space: 28, size: 38, grid: { show: false } }] : []),
    ],
    series: [{}, ...lines.map((line) => series(line, isStepped))],
    hooks: { setCursor: [({ cursor }) => latest.current.onPoint?.(cursor.idx ?? null)] },
  };
}

function series(line: Line, isStepped: boolean): uPlot.Series {
  const drawn = colour(line.colour);
  return {
    label: line.label,
    scale: line.scale ?? "y",
    stroke: drawn,
    width: line.isArea ? 0 : 1.5,
    points: { show: false },
    ...(line.isArea && { fill: drawn }),
    ...(isStepped && uPlot.paths.stepped && { paths: uPlot.paths.stepped({ align: 1 }) }),
  };
}

/** Marks of the time axis: as much as their distance needs. */
function times(_plot: uPlot, splits: number[], _axis: number, _space: number, step_s: number): string[] {
  const two = (number: number) => String(number).padStart(2, "0");
  return splits.map((split) => {
    const at = new Date(split * 1000);
    if (step_s >= 86_400) return `${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
    return step_s >= 60 ? time : `${time}:${two(at.getSeconds())}`;
  });
}
