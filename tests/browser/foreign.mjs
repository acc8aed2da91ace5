// A page with socket.io-client calls a page with our client, and is called by it.

import { readFileSync } from "node:fs";
import { ask, assert, eventually, expectNoFault, facts, launch, log, open, story } from "./lib.mjs";
import { connected, expectPictures, expectRelayed, relayOnly, selectedPair } from "./pair.mjs";
import { token } from "./tokens.mjs";

const CLIENT = readFileSync(facts.socket_io_client, "utf8");

await story(async () => {
  const browser = await launch();
  const context = await browser.newContext();
  const ours = await open(context, `${facts.base}/test#${new URLSearchParams({ token: token({ sub: "olive" }), to: "ian" })}`);
  await ours.locator("[data-signaling=connected]").waitFor();
  await relayOnly([ours], "UDP");

  // Any page of this origin will do; what it says of scripts is for its own.
  const free = await browser.newContext({ bypassCSP: true });
  const theirs = await open(free, `${facts.base}/healthz`);
  await theirs.addScriptTag({ content: CLIENT });
  await theirs.evaluate(begin, token({ sub: "ian" }));
  await eventually("ian is in", () => theirs.evaluate(() => socket.connected));

  // Theirs calls ours.
  await theirs.evaluate(() => start("olive"));
  await ours.getByRole("button", { name: "Accept" }).click();
  await expectCall(ours, theirs);
  await theirs.evaluate(() => hangUp());
  await ours.locator("[data-call=none]").waitFor();
  await ours.getByText("hung up (by the other side)").first().waitFor();

  // Ours calls theirs, and hangs up.
  await ours.getByRole("button", { name: "Call", exact: true }).click();
  await expectCall(ours, theirs);
  await ours.getByRole("button", { name: "Hang up" }).click();
  await eventually("ian hears the end", () => theirs.evaluate(() => ended === "hangup"));
  await ask("no_sessions");
  log(JSON.stringify(await theirs.evaluate(() => heard)));
  await expectNoFault(ours);
  assert(theirs.faults.length === 0, theirs.faults.join("; "));
  await browser.close();
});

async function expectCall(ours, theirs) {
  await connected(ours);
  await expectRelayed(ours, "udp");
  await expectPictures(ours);
  const pair = await selectedPair(theirs);
  assert(pair?.local.candidateType === "relay", JSON.stringify(pair));
  const frames = () => theirs.evaluate(async () => {
    const all = [...new Map(await pc.getStats()).values()];
    return all.find(({ type, kind }) => type === "inbound-rtp" && kind === "video")?.framesDecoded ?? 0;
  });
  const before = await frames();
  await eventually("frames at theirs", async () => (await frames()) > before + 10);
}

/** What a plain app does, in its page: nothing of ours is in it. */
function begin(token) {
  const canvas = document.body.appendChild(document.createElement("canvas"));
  const context = canvas.getContext("2d");
  setInterval(() => {
    context.fillStyle = `hsl(${(Date.now() / 10) % 360} 80% 60%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }, 50);
  Object.assign(globalThis, { heard: [], ended: null, pc: null, callId: null });
  globalThis.socket = io({ auth: { token } });
  socket.onAny((name) => heard.push(name));
  const send = (event, data) => socket.emitWithAck(event, { call_id: callId, ...data });
  const media = ({ call_id, ice_servers }) => {
    callId = call_id;
    ended = null;
    pc = new RTCPeerConnection({ iceServers: ice_servers, iceTransportPolicy: "relay" });
    const stream = canvas.captureStream(20);
    for (const track of stream.getTracks()) pc.addTrack(track, stream);
    pc.onicecandidate = ({ candidate }) => candidate && send("webrtc:ice-candidate", { candidate });
  };
  globalThis.start = async (to) => media(await socket.emitWithAck("call:start", { to, call_type: "video" }));
  globalThis.hangUp = async () => {
    await send("call:end", {});
    pc.close();
  };
  socket.on("call:incoming", async ({ call_id }) => media(await socket.emitWithAck("call:accepted", { call_id })));
  socket.on("call:accepted", async () => {
    await pc.setLocalDescription();
    await send("webrtc:offer", { offer: pc.localDescription });
  });
  socket.on("webrtc:offer", async ({ offer }) => {
    await pc.setRemoteDescription(offer);
    await pc.setLocalDescription();
    await send("webrtc:answer", { answer: pc.localDescription });
  });
  socket.on("webrtc:answer", ({ answer }) => pc.setRemoteDescription(answer));
  socket.on("webrtc:ice-candidate", ({ candidate, candidates = [candidate] }) => {
    for (const one of candidates) if (one) pc.addIceCandidate(one);
  });
  socket.on("call:end", ({ reason }) => {
    ended = reason;
    pc?.close();
  });
}
