// What the scripts of this folder share: Chromium, what the test told us, and pages that are watched.
//
// A script gets its facts as JSON in TURNSTONE_FACTS, asks its test for help by a line of JSON on standard output, and
// hears the answer as a line on standard input. It ends with status 0 when all is well.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

export const facts = JSON.parse(process.env.TURNSTONE_FACTS);

/** How long a condition may take to come true; a machine under load is slow. */
export const PATIENCE_MS = 30_000;

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
  "--autoplay-policy=no-user-gesture-required",
  // The daemon of a test is on loopback, which WebRTC does not count as a network otherwise.
  "--allow-loopback-in-peer-connection",
];

/** Chromium with a profile of its own. */
export function launch(flags = [], env = {}) {
  return chromium.launch({
    executablePath: facts.chromium,
    // A page that comes from a folder is on no network, and could not ask one.
    args: [...FLAGS, ...flags, ...(process.env.TURNSTONE_WEB_DIST ? ["--disable-features=LocalNetworkAccessChecks"] : [])],
    env: { ...process.env, ...env },
  });
}

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the test do something that a page cannot. */
export async function ask(what, more = {}) {
  process.stdout.write(`${JSON.stringify({ ask: what, ...more })}\n`);
  const { value, done } = await answers.next();
  if (done) throw new Error(`the test is gone; it was asked to ${what}`);
  return JSON.parse(value);
}

export function log(...words) {
  console.error(...words);
}

export function assert(condition, what) {
  if (!condition) throw new Error(what);
}

/** Waits until `look` gives something true, and returns it. */
export async function eventually(what, look, patience = PATIENCE_MS) {
  const started = Date.now();
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() - started > patience) throw new Error(`not within ${patience} ms: ${what}`);
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

/**
 * A page whose connections can be looked at, and which notes what must not happen: violations of its policy, errors of
 * its scripts, dialogs.
 */
export async function open(context, url) {
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => {
    page.faults.push(`dialog: ${dialog.message()}`);
    return dialog.dismiss();
  });
  page.on("console", (message) => {
    if (/Content Security Policy|TrustedHTML|TrustedScript/.test(message.text())) page.faults.push(message.text());
    else if (process.env.TURNSTONE_VERBOSE) log(`console: ${message.text()}`);
  });
  await page.addInitScript(() => {
    globalThis.violations = [];
    addEventListener("securitypolicyviolation", (event) => violations.push(`${event.violatedDirective} ${event.blockedURI}`));
    const Native = RTCPeerConnection;
    globalThis.connections = [];
    globalThis.RTCPeerConnection = class extends Native {
      constructor(...given) {
        super(...given);
        connections.push(this);
      }
    };
  });
  await fromFolder(page);
  await page.goto(url);
  return page;
}

/** For work on the pages: with TURNSTONE_WEB_DIST=../../web/dist they come from there, not from the binary. */
async function fromFolder(page) {
  const folder = process.env.TURNSTONE_WEB_DIST;
  if (!folder) return;
  const pages = { "/": "/dashboard/index.html", "/test": "/test/index.html" };
  await page.route(/\/(test|sdk|assets|)(\/[\w.]+)?$/, async (route) => {
    const { pathname } = new URL(route.request().url());
    if (route.request().method() !== "GET") return route.fallback();
    const response = await route.fetch();
    return route.fulfill({ response, path: folder + (pages[pathname] ?? pathname.replace("/assets/", "/dashboard/")) });
  });
}

/** Nothing happened that must not. */
export async function expectNoFault(page) {
  const violations = await page.evaluate(() => globalThis.violations);
  const all = [...page.faults, ...violations];
  if (all.length > 0) throw new Error(`${page.url()}: ${all.join("; ")}`);
}

/** No findings of axe that are serious or worse. */
export async function expectAccessible(page, what) {
  const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  // By the debugger, for which the page's policy does not count.
  await page.evaluate(source);
  const findings = await page.evaluate(async () => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map(({ target, failureSummary }) => `${target}: ${failureSummary}`) }));
  });
  const serious = findings.filter(({ impact }) => impact === "serious" || impact === "critical");
  if (serious.length > 0) throw new Error(`${what}: ${JSON.stringify(serious, null, 1)}`);
}

/** The page is as wide as its window, and no wider. */
export async function expectNoOverflow(page, what) {
  const [has, may] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert(has <= may, `${what}: ${has} px wide in a window of ${may}`);
}

/** A picture for people, in target/test-logs. */
export async function screenshot(page, name) {
  await page.screenshot({ path: `${facts.pictures}/${name}.png`, fullPage: true });
}

/** The four looks of a page: light and dark, wide and narrow; each without overflow. */
export async function screenshots(page, name) {
  for (const [width, height] of [[1440, 900], [400, 800]]) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await screenshot(page, `${name}-${width}-${colorScheme}`);
      await expectNoOverflow(page, `${name} at ${width} px`);
      await expectAccessible(page, `${name} ${colorScheme} at ${width} px`);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 800 });
}

/** Runs a script's story, with the browser closed behind it. */
export async function story(tell) {
  try {
    await tell();
    process.exitCode = 0;
  } catch (error) {
    log(error.stack ?? error);
    process.exitCode = 1;
  } finally {
    process.stdin.unref?.();
    process.exit();
  }
}
