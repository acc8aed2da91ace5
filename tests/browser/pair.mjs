// Two test pages that call each other.

import { assert, eventually, facts, log, open } from "./lib.mjs";

/** Opens the page with the key, and by its link the page of the second participant. */
export async function pair(context, base = facts.base) {
  const a = await open(context, `${base}/test#key=${facts.key}`);
  await a.locator("[data-signaling=connected]").waitFor();
  const link = await a.locator("#link").inputValue();
  const b = await open(context, link);
  await b.locator("[data-signaling=connected]").waitFor();
  for (const page of [a, b]) assert(!page.url().includes("#"), `the secret is still in the address: ${page.url()}`);
  return { a, b };
}

/** Both want this way to their relay, and nothing but a relay. */
export async function relayOnly(pages, way) {
  for (const page of pages) {
    await page.getByLabel(way, { exact: true }).check();
    await page.getByLabel("relay only").check();
  }
}

export async function call(from, to) {
  await from.getByRole("button", { name: "Call", exact: true }).click();
  await to.getByRole("button", { name: "Accept" }).click();
  for (const page of [from, to]) await connected(page);
}

export async function connected(page) {
  await page.locator("[data-call=connected]").waitFor();
}

/** What the page shows is what its connection says. */
export async function expectRelayed(page, protocol) {
  const pair = await eventually("a selected pair", () => selectedPair(page));
  assert(pair.local.candidateType === "relay" && pair.remote.candidateType === "relay", JSON.stringify(pair));
  assert(pair.local.relayProtocol === protocol, `${pair.local.relayProtocol} in place of ${protocol}`);
  await page.locator("[data-pair=relay]").filter({ hasText: `relay over ${protocol}` }).waitFor();
}

export function selectedPair(page) {
  return page.evaluate(async () => {
    const live = connections.filter(({ connectionState }) => connectionState === "connected").at(-1);
    if (!live) return null;
    const report = new Map(await live.getStats());
    const transport = [...report.values()].find(({ type, selectedCandidatePairId }) => type === "transport" && selectedCandidatePairId);
    const pair = report.get(transport?.selectedCandidatePairId);
    return pair && { local: report.get(pair.localCandidateId), remote: report.get(pair.remoteCandidateId) };
  });
}

export function framesDecoded(page) {
  return page.evaluate(async () => {
    const live = connections.filter(({ connectionState }) => connectionState === "connected").at(-1);
    if (!live) return 0;
    const all = [...new Map(await live.getStats()).values()];
    return all.find(({ type, kind }) => type === "inbound-rtp" && kind === "video")?.framesDecoded ?? 0;
  });
}

/** Frames keep coming, and there is something on them. */
export async function expectPictures(page) {
  const before = await framesDecoded(page);
  await eventually("more frames", async () => (await framesDecoded(page)) > before + 10);
  for (const side of ["from the other side", "from here"]) {
    const brightness = await eventually(`pixels ${side} that are not black`, () => page.evaluate(look, side));
    log(`${side}: brightness ${Math.round(brightness)}`);
  }

  function look(side) {
    const video = document.querySelector(`video[aria-label$='${side}']`);
    if (!video?.videoWidth) return 0;
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 36 });
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0, 64, 36);
    const { data } = context.getImageData(0, 0, 64, 36);
    let sum = 0;
    for (let at = 0; at < data.length; at += 4) sum += data[at] + data[at + 1] + data[at + 2];
    const mean = sum / (data.length / 4) / 3;
    return mean > 20 ? mean : 0;
  }
}

/** How long the other side takes to see the end of a call, in ms, from the click on. */
export async function hangUp(page, other) {
  const seen = other.evaluate(() => new Promise((resolve) => {
    const look = () => {
      if (document.querySelector("[data-call=none]")) resolve(performance.timeOrigin + performance.now());
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
  }));
  const clicked = await page.getByRole("button", { name: "Hang up" }).evaluate((button) => {
    const at = performance.timeOrigin + performance.now();
    button.click();
    return at;
  });
  return (await seen) - clicked;
}
