// An app, as the compiler sees it: what is shipped as types is enough to use the client, and no more than that.
import { TurnstoneError, createClient } from "../dist/sdk/turnstone.js";
import type { Call, Client, Digest, Message } from "../dist/sdk/turnstone.js";

export async function app(stream: MediaStream, show: (text: string) => void): Promise<Call | undefined> {
  const client: Client = createClient({ url: "https://turn.example.org", getToken: async () => "a token" });
  client.on("incoming", (call) => void call.accept({ stream, rtc: { iceTransportPolicy: "relay" } }));
  client.on("snapshot", ({ calls }) => show(calls.map(({ call_id, state }) => `${call_id} ${state}`).join()));
  await client.connect();
  const room = await client.join("lobby", { role: "host" });
  room.on("message", ({ from, body }: Message) => show(`${from}: ${String(body)}`));
  await client.request("message:send", { to: "bob", body: "hello", store: true });
  client.presence.on("change", ({ user, presence }) => show(`${user} ${presence.online}`));
  try {
    const call = await client.call("bob", { stream, iceServers: (servers) => servers.slice(0, 1) });
    call.on("ended", ({ reason }) => show(reason));
    const digest: Digest = await call.stats();
    show(`${digest.rtt_ms} ms`);
    return call;
  } catch (error) {
    if (error instanceof TurnstoneError && error.code === "offline") return undefined;
    throw error;
  }
}

export function mistakes(client: Client, call: Call): void {
  // @ts-expect-error there is no such event
  client.on("call:imagined", () => {});
  // @ts-expect-error a room or a user is missing
  void client.request("message:send", { body: 1 });
  // @ts-expect-error what the house uses within is not shown
  call.over("hangup");
}
