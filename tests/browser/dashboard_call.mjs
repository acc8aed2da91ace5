// A call between two pages, seen on the dashboard.

import { assert, eventually, expectNoFault, facts, launch, log, open, screenshot, story } from "./lib.mjs";
import { call, hangUp, pair, relayOnly } from "./pair.mjs";
import { expectEqual, expectFollows, isIn, logIn, shown } from "./dashboard_page.mjs";

await story(async () => {
  const browser = await launch();
  const page = await open(await browser.newContext({ viewport: { width: 1440, height: 900 } }), facts.admin);
  await logIn(page);
  await isIn(page);

  const { a, b } = await pair(await browser.newContext());
  await relayOnly([a, b], "UDP");
  await call(a, b);
  const live = page.locator("tr.live[data-call]");
  await live.filter({ hasText: "live" }).waitFor();
  await eventually("their sessions", async () => (await page.locator("tr[data-session]").count()) >= 2);
  await page.bringToFront();
  await expectFollows(page);
  await screenshot(page, "dashboard-call");

  await a.bringToFront();
  log(`the other side saw the end within ${Math.round(await hangUp(a, b))} ms`);
  const ended = performance.now();
  await eventually("no sessions on the dashboard", async () => (await shown(page)).sessions === 0);
  await eventually("no rows of sessions", async () => (await page.locator("tr[data-session]").count()) === 0);
  const after = Math.round(performance.now() - ended);
  log(`their sessions were gone from the dashboard after ${after} ms`);
  assert(after <= 6000, `the sessions are gone from the dashboard after ${after} ms`);
  const row = page.locator("tr[data-call]:not(.live)");
  await row.filter({ hasText: "hung up" }).waitFor();
  await expectEqual(page);
  await expectNoFault(page);
  await browser.close();
});
