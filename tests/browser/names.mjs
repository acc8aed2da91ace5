// Names that want to be more than text, on both sides of a call.

import { assert, expectAccessible, expectNoFault, expectNoOverflow, facts, launch, open, screenshot, story } from "./lib.mjs";
import { connected, expectPictures } from "./pair.mjs";
import { token } from "./tokens.mjs";

const IMAGE = "<img src=x onerror=alert(1)><script>alert(2)</script>";
const RIGHT_TO_LEFT = "\u202e\u2067\u05d0\u05d1\u05d2 moc.elpmaxe//:sptth \u202e";
const LONG = `${"W".repeat(100)}-one-hundred-and-28-bytes`.slice(0, 128);

await story(async () => {
  const browser = await launch();
  const context = await browser.newContext();
  for (const [mine, others] of [[IMAGE, LONG], [RIGHT_TO_LEFT, IMAGE], [LONG, RIGHT_TO_LEFT]]) {
    const a = await logIn(context, token({ sub: mine, name: IMAGE }), token({ sub: others, name: `${RIGHT_TO_LEFT}${LONG}` }));
    await a.locator("[data-signaling=connected]").waitFor();
    const b = await open(context, await a.locator("#link").inputValue());
    await b.locator("[data-signaling=connected]").waitFor();
    await b.getByRole("button", { name: "Call", exact: true }).click();
    await a.getByRole("button", { name: "Accept" }).waitFor();
    await expectPlain([a, b], "ringing");
    await a.getByRole("button", { name: "Accept" }).click();
    for (const page of [a, b]) await connected(page);
    await expectPlain([a, b], "in a call");
    for (const page of [a, b]) await expectPictures(page);
    await screenshot(a, `test-names-${[IMAGE, RIGHT_TO_LEFT, LONG].indexOf(mine)}`);
    await a.getByRole("button", { name: "Hang up" }).click();
    for (const page of [a, b]) {
      await page.locator("[data-call=none]").waitFor();
      await page.close();
    }
  }

  // A link that somebody made up.
  const to = `${IMAGE}${RIGHT_TO_LEFT}${"x".repeat(500)}`;
  const lured = await open(context, `${facts.base}/test#${new URLSearchParams({ token: token({ sub: "eve" }), to })}`);
  await lured.locator("[data-signaling=connected]").waitFor();
  await lured.getByRole("button", { name: "Call", exact: true }).click();
  await lured.getByRole("alert").waitFor();
  await expectPlain([lured], "a made up link");
  // And a token that no server takes.
  const refused = await logIn(context, token({ sub: "x".repeat(500) }), token({ sub: "a" }));
  await refused.locator("[data-signaling=closed]").waitFor();
  await refused.getByRole("alert").filter({ hasText: "refused" }).waitFor();
  await expectPlain([refused], "a token that is refused");
  // The link names who is here though the server never did.
  const link = new URL(await refused.locator("#link").inputValue());
  assert(new URLSearchParams(link.hash.slice(1)).get("to") === "x".repeat(500), `a link to nobody: ${link}`);
  await browser.close();
});

/** Opens the page with two tokens of an issuer of one's own. */
async function logIn(context, mine, others) {
  const page = await open(context, `${facts.base}/test`);
  await page.getByText("With two tokens of your own issuer").click();
  await page.getByLabel("Token of the user in this tab").fill(mine);
  await page.getByLabel("Token of the second participant").fill(others);
  await page.getByRole("form", { name: "two tokens" }).getByRole("button", { name: "Log in" }).click();
  return page;
}

async function expectPlain(pages, what) {
  for (const page of pages) {
    const elements = await page.evaluate(() => document.querySelectorAll("img, #app script, iframe, object").length);
    assert(elements === 0, `${what}: a name became ${elements} elements`);
    for (const width of [400, 1440]) {
      await page.setViewportSize({ width, height: 800 });
      await expectNoOverflow(page, `${what} at ${width} px`);
    }
    await expectAccessible(page, what);
    await expectNoFault(page);
  }
}
