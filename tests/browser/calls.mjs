// Calls between two pages, each way through the relay.

import { ask, assert, expectNoFault, facts, launch, log, screenshots, story } from "./lib.mjs";
import { call, expectPictures, expectRelayed, hangUp, pair, relayOnly } from "./pair.mjs";

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
  // The door of TURN over TLS has the page, too, and there it is one that may use a camera.
  const secure = await pair(context, facts.secure_base);
  for (const page of [a, b, secure.a, secure.b]) {
    assert(await page.evaluate(() => isSecureContext), `${page.url()} may use no camera`);
    await expectNoFault(page);
  }
  await browser.close();
});
