// The dashboard: who gets in, what it shows, what it may do, and what names cannot do to it.

import { ask, assert, eventually, expectNoFault, expectNoOverflow, facts, launch, log, open, screenshot, screenshots, story } from "./lib.mjs";
import { expectEqual, expectFollows, isIn, logIn, shown } from "./dashboard_page.mjs";
import { token } from "./tokens.mjs";

const IMAGE = "<img src=x onerror=globalThis.pwned=1><script>globalThis.pwned=2</script>";
const RIGHT_TO_LEFT = "\u202e\u2067\u05d0\u05d1\u05d2 moc.elpmaxe//:sptth \u202e";
const LONG = "W".repeat(500);

await story(async () => {
  const browser = await launch();
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await open(context, facts.admin);
  await nobodyElseGetsIn(page);
  await logIn(page);
  await isIn(page);
  await figuresAreThoseOfMetrics(page);
  await rangesAreChosen(page);
  await aSessionIsEnded(page);
  await namesAreText(page);
  await theKeyboardReachesEverything(page);
  await coloursAreChosen(page);
  await aHiddenPageAsksNothing(page);
  await oldRowsAreSaidToBeOld(page);
  await aSilentDaemonIsSaidSo(page);
  await expectNoFault(page);
  await aRestartAsksForTheKeyAgain(page);
  await expectNoFault(page);
  await browser.close();
});

async function nobodyElseGetsIn(page) {
  await page.getByRole("heading", { name: "Turnstone" }).waitFor();
  await screenshots(page, "dashboard-login");
  await page.setViewportSize({ width: 1440, height: 900 });
  for (const [key, words] of [["tsk_nonsense", "this API key is not good here"], [facts.read_key, "lacks the scope admin"]]) {
    await logIn(page, key);
    await page.getByRole("alert").filter({ hasText: words }).waitFor();
  }
}

async function figuresAreThoseOfMetrics(page) {
  await expectFollows(page);
  const chart = page.getByRole("img", { name: /^Relayed in the last five minutes: from clients [1-9]/ });
  await chart.waitFor();
  await screenshots(page, "dashboard");
  await page.setViewportSize({ width: 1440, height: 900 });
  const [height, may] = await page.evaluate(() => [document.documentElement.scrollHeight, innerHeight]);
  assert(height <= may, `one screen is ${height} px high, and there are ${may}`);
  await ask("hush");
  await expectEqual(page);
}

async function rangesAreChosen(page) {
  for (const [name, words] of [["1 h", "the last hour"], ["24 h", "the last 24 hours"], ["30 d", "the last 30 days"]]) {
    await page.getByRole("button", { name, exact: true }).click();
    await page.getByRole("img", { name: new RegExp(`^Relayed in ${words}: .* [1-9][.\\d]* k?bit/s`) }).waitFor();
    await page.locator(".subjects").filter({ hasText: "alice" }).waitFor();
  }
  await screenshot(page, "dashboard-30d");
  await page.getByRole("button", { name: "Live", exact: true }).click();
}

async function aSessionIsEnded(page) {
  await ask("allocate", { username: "bob", password: "bob-password" });
  const row = page.locator("tr[data-session]").filter({ hasText: "bob" });
  await row.waitFor();
  const id = await row.getAttribute("data-session");
  // What a page of somebody else could send is not enough.
  const refused = await page.evaluate(async (id) => (await fetch(`/v1/sessions/${id}`, { method: "DELETE" })).status, id);
  assert(refused === 403, `ended without the header: ${refused}`);
  const dialog = page.getByRole("dialog", { name: "End this session?" });
  await row.getByRole("button", { name: "End the session of bob" }).click();
  await dialog.filter({ hasText: `turnstone session kill ${id}` }).waitFor();
  await screenshot(page, "dashboard-end");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert((await ask("metrics")).sessions === 2, "it ended though nobody said so");
  await anotherTabLogsIn(page);
  await row.getByRole("button", { name: "End the session of bob" }).click();
  await dialog.getByRole("button", { name: "End session" }).click();
  await row.waitFor({ state: "detached" });
  assert((await ask("metrics")).sessions === 1, "it lives");
}

/** From then on the cookie is that one's. */
async function anotherTabLogsIn(page) {
  const again = await page.evaluate(async (key) => (await fetch("/v1/login", { method: "POST", body: JSON.stringify({ key }) })).status, facts.admin_key);
  assert(again === 200, `logged in again: ${again}`);
}

async function namesAreText(page) {
  const mint = async (user, label) => {
    const headers = { Authorization: `Bearer ${facts.key}`, "Content-Type": "application/json" };
    const answer = await fetch(`${facts.base}/v1/ice-servers`, { method: "POST", headers, body: JSON.stringify({ user, label }) });
    const { iceServers } = await answer.json();
    const { username, credential } = iceServers.find((server) => server.username);
    await ask("allocate", { username, password: credential });
  };
  await mint(IMAGE, RIGHT_TO_LEFT);
  await mint(RIGHT_TO_LEFT, IMAGE);
  await mint("short", LONG.slice(0, 400));
  await ask("add_user", { name: LONG, password: "password" });
  await ask("allocate", { username: LONG, password: "password" });
  await ring(page);
  const texts = () => page.locator(".sessions bdi, .calls bdi").allTextContents();
  for (const name of [IMAGE, RIGHT_TO_LEFT, LONG]) {
    await eventually(`the name ${name.slice(0, 20)}`, async () => (await texts()).includes(name));
  }
  await screenshots(page, "dashboard-names");
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.getByRole("button", { name: /^End the session of W/ }).click();
  await expectNoOverflow(page, "a long name in the dialog");
  await screenshot(page, "dashboard-names-end");
  await page.getByRole("button", { name: "Keep it" }).click();
  const elements = await page.locator("img, iframe, object, #page script").count();
  assert(elements === 0, `a name became ${elements} elements`);
  assert((await page.evaluate(() => globalThis.pwned)) === undefined, "a name ran");
  const boxes = await page.locator(".block").evaluateAll((blocks) => blocks.filter((block) => block.scrollWidth > block.clientWidth).map((block) => block.className));
  assert(boxes.length === 0, `wider than its place: ${boxes}`);
}

/** A call between two of those names that nobody answers. */
async function ring(page) {
  const caller = await open(page.context(), `${facts.base}/test`);
  await caller.getByText("With two tokens of your own issuer").click();
  await caller.getByLabel("Token of the user in this tab").fill(token({ sub: IMAGE }));
  await caller.getByLabel("Token of the second participant").fill(token({ sub: RIGHT_TO_LEFT }));
  await caller.getByRole("form", { name: "two tokens" }).getByRole("button", { name: "Log in" }).click();
  await caller.locator("[data-signaling=connected]").waitFor();
  const callee = await open(page.context(), await caller.locator("#link").inputValue());
  await callee.locator("[data-signaling=connected]").waitFor();
  await caller.getByRole("button", { name: "Call", exact: true }).click();
  await callee.getByRole("button", { name: "Accept" }).waitFor();
  await page.bringToFront();
  await page.locator("tr.live[data-call]").filter({ hasText: "ringing" }).waitFor();
  await callee.close();
  await caller.close();
}

async function theKeyboardReachesEverything(page) {
  await page.evaluate(() => document.activeElement?.blur());
  const reached = [];
  for (let step = 0; step < 60; step += 1) {
    await page.keyboard.press("Tab");
    const found = await page.evaluate(() => {
      const element = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      const name = element.getAttribute("aria-label") ?? element.textContent;
      return { name, isSeen: element === document.body || (outlineStyle !== "none" && outlineWidth !== "0px") };
    });
    assert(found.isSeen, `no ring around ${found.name}`);
    reached.push(found.name);
  }
  for (const wanted of ["Log out", "1 h", "Copy: turnstone sessions", "End the session of alice", "Calls, live ones first"]) {
    assert(reached.includes(wanted), `the keyboard does not reach "${wanted}": ${reached.map((name) => name.slice(0, 30)).join(" | ")}`);
  }
}

async function coloursAreChosen(page) {
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await paper();
  await page.getByLabel("Colours").selectOption("dark");
  const dark = await eventually("dark", async () => (await paper()) !== light && (await paper()));
  await page.reload();
  await isIn(page);
  assert((await paper()) === dark, "a reload forgot the colours");
  await page.getByLabel("Colours").selectOption("system");
  assert((await paper()) === light, "the system is not followed again");
}

async function aHiddenPageAsksNothing(page) {
  const hide = (isHidden) => page.evaluate((isHidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
  let asked = 0;
  page.on("request", () => (asked += 1));
  await eventually("it asks", () => asked > 3);
  await hide(true);
  asked = 0;
  await page.waitForTimeout(3000);
  assert(asked === 0, `${asked} requests while it was hidden`);
  await hide(false);
  await eventually("it asks again", () => asked > 3);
}

async function oldRowsAreSaidToBeOld(page) {
  const trouble = page.getByRole("region", { name: "Top talkers" }).locator(":scope > .trouble");
  const rows = /\/v1\/sessions\?/;
  // The answer does not come, and all others do.
  await page.route(rows, () => {});
  await trouble.filter({ hasText: "does not answer" }).waitFor();
  await eventually("nothing else is said to be old, nor the daemon to be lost", async () =>
    (await page.locator(".block > .trouble, .lost").count()) === 1);
  await screenshot(page, "dashboard-old-rows");
  await page.unroute(rows);
  await trouble.waitFor({ state: "detached" });
}

async function aSilentDaemonIsSaidSo(page) {
  await ask("freeze");
  await page.getByRole("alert").filter({ hasText: /No answer from the daemon since \d\d:\d\d:\d\d/ }).waitFor();
  await screenshot(page, "dashboard-lost");
  assert((await page.locator(".block > .trouble").count()) === 0, "that nobody answers is said more than once");
  await ask("thaw");
  await page.getByRole("alert").filter({ hasText: "No answer" }).waitFor({ state: "detached" });
  await expectEqual(page);
}

async function aRestartAsksForTheKeyAgain(page) {
  await ask("restart");
  await page.getByText("You are not logged in any more").waitFor();
  await logIn(page);
  await isIn(page);
  log(`after the restart: ${JSON.stringify(await shown(page))}`);
  await anotherTabLogsIn(page);
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByText("You are logged out.").waitFor();
  await page.reload();
  await page.getByRole("button", { name: "Log in" }).waitFor();
}
