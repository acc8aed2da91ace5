// The test page alone: its ICE check, its login, its looks.

import { assert, expectNoFault, facts, launch, log, open, screenshots, story } from "./lib.mjs";

await story(async () => {
  // Without a word about certificates: the self-signed one of TURN is refused.
  const browser = await launch();
  const context = await browser.newContext();

  // Nobody gets in without a key.
  const stranger = await open(context, `${facts.base}/test`);
  await stranger.getByRole("heading", { name: "Log in with an API key" }).waitFor();
  await stranger.getByRole("textbox", { name: "API key" }).fill("tsk_nonsense");
  await stranger.getByRole("button", { name: "Log in", exact: true }).first().click();
  await stranger.getByRole("alert").filter({ hasText: "no credential that is good here" }).waitFor();
  await screenshots(stranger, "test-login");
  await stranger.getByRole("textbox", { name: "API key" }).fill(facts.key);
  await stranger.keyboard.press("Enter");
  await stranger.locator("[data-signaling=connected]").waitFor();
  await expectNoFault(stranger);

  const page = await open(context, `${facts.base}/test#key=${facts.key}`);
  await page.locator("[data-signaling=connected]").waitFor();
  await page.getByRole("button", { name: "Check every server" }).click();
  await page.getByRole("button", { name: "Check again" }).waitFor({ timeout: 120_000 });
  const rows = await page.locator("tr[data-url]").evaluateAll((all) =>
    all.map((row) => ({ url: row.dataset.url, state: row.dataset.state, text: row.innerText })));
  log(JSON.stringify(rows, null, 1));
  for (const { url, state, text } of rows) {
    const wanted = facts.broken.includes(url) ? ["failed"] : ["worked", "direct"];
    assert(wanted.includes(state), `${url}: ${state}: ${text}`);
    if (state === "failed") assert(/certificate|port|firewall|credential/i.test(text), `${url} says nothing: ${text}`);
  }
  for (const url of facts.urls) assert(rows.some((row) => row.url === url), `${url} was not tried`);
  await screenshots(page, "test-ice");
  await expectNoFault(page);

  // What is wrong is told apart: a credential that is refused, and a port where nobody listens.
  await page.route("**/v1/ice-servers", async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    const { urls, username } = body.iceServers.find(({ username }) => username);
    const closed = `turn:127.0.0.1:${facts.closed_port}?transport=tcp`;
    body.iceServers = [{ urls: [urls[0], closed], username, credential: "wrong" }];
    await route.fulfill({ response, json: body });
  });
  await page.goto(`${facts.base}/test#key=${facts.key}`);
  await page.getByRole("button", { name: "Check every server" }).click();
  await page.getByRole("button", { name: "Check again" }).waitFor({ timeout: 120_000 });
  const said = (url) => page.locator("tr[data-state=failed]").filter({ hasText: url }).innerText();
  assert((await said("transport=udp")).includes("The credential was refused"), await said("transport=udp"));
  assert((await said("transport=tcp")).includes("No connection over TCP"), await said("transport=tcp"));

  // The switch of colours holds over a reload, and a reload has forgotten the key.
  await page.getByLabel("Colours").selectOption("dark");
  await page.reload();
  await page.getByRole("heading", { name: "Log in with an API key" }).waitFor();
  const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert(dark === "rgb(14, 18, 22)", `not dark: ${dark}`);
  await expectNoFault(page);
  await browser.close();
});
