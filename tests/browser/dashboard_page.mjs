// The dashboard, as its tests go about it.

import { assert, ask, eventually, facts, log } from "./lib.mjs";

/** How far the dashboard may be behind `/metrics`. */
const LAG_MS = 2000;

export async function logIn(page, key = facts.admin_key) {
  await page.getByLabel("API key with the scope admin").fill(key);
  await page.getByRole("button", { name: "Log in" }).click();
}

export async function isIn(page) {
  await page.getByRole("region", { name: "Health" }).waitFor();
}

/** What the page shows, exactly. */
export function shown(page) {
  return page.evaluate(() => {
    const figure = (name) => Number(document.querySelector(`data[data-figure=${name}]`)?.value ?? Number.NaN);
    return { in: figure("bytes-in"), out: figure("bytes-out"), sessions: figure("sessions") };
  });
}

/** While bytes flow: what `/metrics` says now, the dashboard says soon, and never more than is true. */
export async function expectFollows(page, rounds = 5) {
  const lags = [];
  for (let round = 0; round < rounds; round += 1) {
    const before = await ask("metrics");
    const started = performance.now();
    const seen = await eventually("the bytes of /metrics", async () => {
      const now = await shown(page);
      return now.in >= before.in && now.out >= before.out && now;
    });
    lags.push(Math.round(performance.now() - started));
    const after = await ask("metrics");
    assert(seen.in <= after.in && seen.out <= after.out, `more than there is: ${JSON.stringify([seen, after])}`);
  }
  log(`the dashboard was behind by ${lags.join(", ")} ms`);
  const usual = lags.sort((one, other) => one - other)[Math.floor(rounds / 2)];
  assert(usual <= LAG_MS, `usually ${usual} ms behind`);
}

/** When nothing flows any more: the same numbers. */
export async function expectEqual(page) {
  await eventually("the same as /metrics", async () => {
    const [metrics, now] = [await ask("metrics"), await shown(page)];
    return ["in", "out", "sessions"].every((name) => metrics[name] === now[name]);
  });
}
