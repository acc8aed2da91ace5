// Calls between two pages, each way through the relay.

import { ask, assert, expectNoFault, facts, launch, log, screenshots, story } from "./lib.mjs";
import { call, connected, expectPictures, expectRelayed, hangUp, pair, relayOnly } from "./pair.mjs";

await story(async () => {
  const browser = await launch(["--ignore-certificate-errors"]);
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const { a, b } = await pair(context);
  for (const way of facts.ways) {
    await relayOnly([a, b], way);
    // Either side may be the one who calls.
    const [from, to] = way === "TCP" ? [b, a] : [a, b];
    if (way === "TCP") await from.getByLabel("camera and microphone").check();
    await call(from, to);
    for (const page of [from, to]) {
      await expectRelayed(page, way.toLowerCase());
      await expectPictures(page);
    }
    if (way === "UDP") {
      await screenshots(a, "test-call");
    }
    const ms = await hangUp(from, to);
    log(`${way}: the other side ended after ${ms.toFixed(0)} ms`);
    assert(ms < 1000, `${way}: the other side ended after ${ms} ms`);
    await ask("no_sessions");
  }
  await bothCallAtOnce(a, b);
  // The door of TURN over TLS has the page, too, and there it is one that may use a camera.
  const secure = await pair(context, facts.secure_base);
  for (const page of [a, b, secure.a, secure.b]) {
    assert(await page.evaluate(() => isSecureContext), `${page.url()} may use no camera`);
    await expectNoFault(page);
  }
  await browser.close();
});

/** One side calls while the other is still asked for its camera: that is one call, and nothing is left to accept. */
async function bothCallAtOnce(a, b) {
  await a.evaluate(() => {
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    const allowed = new Promise((resolve) => (globalThis.allow = resolve));
    navigator.mediaDevices.getUserMedia = (wanted) => allowed.then(() => ask(wanted));
  });
  await a.getByLabel("camera and microphone").check();
  await a.getByRole("button", { name: "Call", exact: true }).click();
  await b.getByRole("button", { name: "Call", exact: true }).click();
  await a.getByRole("button", { name: "Accept" }).waitFor();
  await a.evaluate(() => globalThis.allow());
  for (const page of [a, b]) await connected(page);
  for (const page of [a, b]) assert((await page.getByRole("button", { name: "Accept" }).count()) === 0, "a live call is to be accepted");
  for (const page of [a, b]) await expectPictures(page);
  await hangUp(a, b);
  await ask("no_sessions");
}
