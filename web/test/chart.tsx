// A minute of one figure, or of two that belong together, as lines.

/** The newest at the right; the axis begins at zero. `scale`: the least that the top of the axis stands for. */
export function Chart({ title, series, format, scale }: {
  title: string;
  series: { name: string; values: (number | null)[]; colour: 1 | 2 }[];
  format: (value: number) => string;
  scale: number;
}) {
  const top = round(series.flatMap(({ values }) => values).reduce<number>((most, value) => Math.max(most, value ?? 0), scale));
  const last = series.map(({ name, values }) => {
    const value = values.at(-1);
    return { name, text: value === undefined || value === null ? "–" : format(value) };
  });
  const told = last.map(({ name, text }) => (series.length > 1 ? `${name} ${text}` : text)).join(", ");
  return (
    <figure class="chart">
      <figcaption>
        <span>{title}</span>
        <span class="top">up to {format(top)}</span>
        <span class="now">
          {last.map(({ name, text }, index) => (
            <span key={name}>
              {series.length > 1 && <><i class={`key series-${series[index]?.colour}`} />{name} </>}
              <b>{text}</b>
            </span>
          ))}
        </span>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${title}, last minute; now ${told}`}>
        <line class="axis" x1="0" x2={WIDTH} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
        <line class="axis" x1="0" x2={WIDTH} y1="0.5" y2="0.5" />
        {series.map(({ name, values, colour }) => <path key={name} class={`series-${colour}`} d={path(values, top)} />)}
      </svg>
    </figure>
  );
}

const [WIDTH, HEIGHT, SECONDS] = [300, 48, 60];

/** The next of 1, 2, 5, 10, 20, ..: an axis that holds still. */
function round(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5].find((step) => step * power >= value) ?? 10) * power;
}

/** Where a value is missing the line has a gap. */
function path(values: (number | null)[], top: number): string {
  let isOn = false;
  return values.map((value, index) => {
    if (value === null) {
      isOn = false;
      return "";
    }
    const x = WIDTH - ((values.length - 1 - index) * WIDTH) / (SECONDS - 1);
    const y = HEIGHT - 1 - (value / top) * (HEIGHT - 3);
    const step = `${isOn ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    isOn = true;
    return step;
  }).join("");
}
