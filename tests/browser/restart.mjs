// The server goes away in the middle of a call, and comes back.

import { ask, eventually, expectNoFault, facts, launch, log, story } from "./lib.mjs";
import { call, connected, expectPictures, expectRelayed, framesDecoded, hangUp, pair, relayOnly } from "./pair.mjs";

/** The client tries again after 8 s at most, and the server has waited for both sides then; a machine may be slow. */
const BACK_MS = 90_000;

await story(async () => {
  const browser = await launch();
  const context = await browser.newContext();
  const { a, b } = await pair(context);

  // By the relay: media goes with the server, and comes back with it.
  await relayOnly([a, b], "UDP");
  await call(a, b);
  for (const page of [a, b]) await expectPictures(page);
  await ask("kill");
  for (const page of [a, b]) await page.locator("[data-signaling=reconnecting]").waitFor();
  await ask("start");
  const started = Date.now();
  for (const page of [a, b]) {
    await page.locator("[data-signaling=connected]").waitFor({ timeout: BACK_MS });
    await eventually("media again", () => isAlive(page), BACK_MS);
  }
  log(`media by the relay again after ${Date.now() - started} ms`);
  for (const page of [a, b]) {
    await connected(page);
    await expectRelayed(page, "udp");
    await expectPictures(page);
  }
  await hangUp(a, b);
  await ask("no_sessions");

  // Without it: media does not notice, and the call is still one that can be hung up.
  for (const page of [a, b]) {
    await page.getByLabel("relay only").uncheck();
  }
  await call(b, a);
  await ask("kill");
  for (const page of [a, b]) await page.locator("[data-signaling=reconnecting]").waitFor();
  for (const page of [a, b]) {
    const before = await framesDecoded(page);
    await eventually("frames without a server", async () => (await framesDecoded(page)) > before + 10);
  }
  await ask("start");
  for (const page of [a, b]) await page.locator("[data-signaling=connected]").waitFor({ timeout: BACK_MS });
  for (const page of [a, b]) await expectPictures(page);
  await hangUp(b, a);
  await b.getByText("hung up (by this side)").first().waitFor();
  await a.getByText("hung up (by the other side)").first().waitFor();
  for (const page of [a, b]) await expectNoFault(page);
  await browser.close();
});

/** Frames come now, whatever the state says. */
async function isAlive(page) {
  const before = await framesDecoded(page);
  await new Promise((wake) => setTimeout(wake, 500));
  const after = await framesDecoded(page);
  return before > 0 && after > before;
}
