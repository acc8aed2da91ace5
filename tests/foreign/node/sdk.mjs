// Our own client, as the daemon serves it, in the hands of a test. Beside the verbs of clients.mjs:
//
//   {"do":"open","wire":"sdk","url":..,"auth":{"token":..}|{"tokens":[..]},"options":{..}}   of tokens, the last stays
//   {"do":"call","user":..}  {"do":"accept"|"reject"|"hangUp","id":..}  {"do":"media","id":..,"state":"failed"}
//   {"do":"join"|"leave"|"members","room":..}  {"do":"say","room":..,"body":..}  {"do":"typing","room":..}
//   {"do":"watch","users":[..]}  {"do":"presence","user":..}  {"do":"ice"}  {"do":"later","ms":..}
//   {"do":"look","id":..}    the call with its connection
//   {"do":"mute","id":..,"isMuted":..}  {"do":"replace","id":..,"kind":"audio"}  {"do":"refresh","token":..}
//   {"do":"acceptThenReject","id":..}  {"do":"network","type":"wifi"}   of the device, which all clients here share
//
// Options of `open` that are not the client's: `from` (where its module is), `isIdle` (it does not connect), `greet` (what
// it asks as soon as it hears that it is connected); of `call` and `accept`: `isBroken` (media cannot begin).
import WebSocket from "ws";
import { FakePeerConnection } from "./fake_rtc.mjs";

const PUSHES = [
  "call:peer-state", "auth:expiring", "message:receive", "presence:update", "event", "server:shutdown", "call:sync",
];
const STATES = ["state", "connected", "snapshot", "network", "failed"];
const CALL_EVENTS = ["state", "track", "peer", "ended", "trouble"];
const ROOM_EVENTS = ["joined", "left", "participants", "message", "typing", "event", "closed"];

let early = 0;
const now = Date.now;
Date.now = () => now() + early;

const connection = Object.assign(new EventTarget(), { type: "wifi" });
Object.defineProperty(globalThis, "navigator", { value: { connection } });

const broken = { prepare: () => { throw new Error("there is no media here"); } };

/** As text: a module at an address of its own each time would be another module. */
const modules = new Map();
async function load(url) {
  if (!modules.has(url)) {
    const text = await (await fetch(`${url}/sdk/turnstone.js`)).text();
    modules.set(url, import(`data:text/javascript;base64,${Buffer.from(text).toString("base64")}`));
  }
  return modules.get(url);
}

export class Sdk {
  constructor(name, { url, auth, options: { from, isIdle, greet, ...options } }, report) {
    this.report = (what, body) => report({ as: name, what, body });
    this.tell = (event, data) => report({ as: name, what: "event", event, args: [data ?? null] });
    this.answer = (ack, body) => report({ as: name, what: "ack", ack, body });
    this.calls = new Map();
    this.rooms = new Map();
    this.ready = this.open(url, from ?? url, auth, options, { isIdle, greet });
  }

  async open(url, from, { token, tokens }, options, { isIdle, greet }) {
    const { createClient } = await load(from);
    const own = this;
    class Socket extends WebSocket {
      constructor(...given) {
        super(...given);
        own.socket = this;
      }
    }
    const getToken = () => {
      this.report("asked for a token");
      return tokens.length > 1 ? tokens.shift() : tokens[0];
    };
    const counted = (...given) => {
      this.report("fetched");
      return fetch(...given);
    };
    const globals = { WebSocket: Socket, RTCPeerConnection: FakePeerConnection, fetch: counted };
    const source = tokens ? { getToken } : { token };
    const client = createClient({ url, ...source, ...globals, backoff: { baseMs: 5, maxMs: 50 }, ...options });
    this.client = client;
    for (const event of [...STATES, ...PUSHES]) {
      client.on(event, (data) => this.tell(event, data instanceof Error ? { code: data.code } : data));
    }
    client.on("incoming", (call) => {
      this.keep(call);
      this.tell("incoming", this.facts(call));
    });
    client.on("state", (state) => {
      if (greet && state === "connected") client.request(greet.event, greet.data).catch(() => {});
    });
    if (!isIdle) client.connect().catch(() => {});
  }

  keep(call) {
    if (this.calls.has(call.id)) return call;
    this.calls.set(call.id, call);
    for (const event of CALL_EVENTS) {
      call.on(event, (data) => {
        const told = data instanceof Error ? { error: data.message, code: data.code } : event === "track" ? {} : data;
        this.tell(`call.${event}`, { id: call.id, told });
      });
    }
    return call;
  }

  facts({ id, peer, type, role, state, data, name, end, connection: pc }) {
    const of_connection = pc && { fragments: pc.fragments(), connection: pc.connectionState, signaling: pc.signalingState };
    const sending = pc?.getTransceivers().map(({ direction, sender: { track, streams } }) => {
      return { direction, enabled: track?.enabled ?? null, streams: streams ?? null };
    });
    const username = pc?.getConfiguration().iceServers.find(({ username }) => username)?.username;
    return { id, peer, type, role, state, data, name, end, ...of_connection, ...pc?.seen, username, sending };
  }

  /** Does what was asked, and answers as the plain wire would. */
  async do(verb, order) {
    await this.ready;
    try {
      const data = await this[`do_${verb}`](order);
      if (order.ack !== undefined) this.answer(order.ack, { ok: true, data: data ?? {} });
    } catch (error) {
      if (order.ack === undefined) throw error;
      this.answer(order.ack, { ok: false, code: error.code ?? "thrown", message: error.message });
    }
  }

  do_emit = ({ event, data }) => this.client.request(event, data);
  do_break = () => this.socket.terminate();
  do_close = () => this.client.close();
  do_refresh = ({ token }) => this.client.refresh(token);
  do_network = ({ type }) => {
    connection.type = type;
    connection.dispatchEvent(new Event("change"));
  };
  do_later = ({ ms }) => void (early += ms);

  do_call = async ({ user, isBroken, options }) => {
    return this.facts(this.keep(await this.client.call(user, { ...options, ...(isBroken && broken) })));
  };
  do_accept = ({ id, isBroken }) => this.calls.get(id).accept(isBroken ? broken : undefined);
  do_acceptThenReject = async ({ id }) => {
    const accepted = this.calls.get(id).accept();
    await Promise.all([accepted, this.calls.get(id).reject()]);
  };
  do_reject = ({ id, reason }) => this.calls.get(id).reject(reason);
  do_hangUp = ({ id }) => this.calls.get(id).hangUp();
  do_media = ({ id, state }) => this.calls.get(id).connection.become(state);
  do_mute = ({ id, isMuted }) => this.calls.get(id).mute(isMuted);
  do_replace = ({ id, kind }) => this.calls.get(id).replaceTrack({ kind, enabled: true });
  do_look = ({ id }) => this.facts(this.calls.get(id));
  do_stats = ({ id }) => this.calls.get(id).stats();

  do_join = async ({ room, options }) => {
    const joined = await this.client.join(room, options);
    this.rooms.set(room, joined);
    for (const event of ROOM_EVENTS) joined.on(event, (data) => this.tell(`room.${event}`, data));
    return { participants: joined.participants };
  };
  do_say = ({ room, body }) => this.rooms.get(room).send(body);
  do_typing = ({ room }) => this.rooms.get(room).typing();
  do_leave = ({ room }) => this.rooms.get(room).leave();
  do_members = ({ room }) => ({ participants: this.rooms.get(room).participants });

  do_watch = ({ users }) => this.client.presence.watch(users);
  do_presence = ({ user }) => this.client.presence.get(user);
  do_ice = async () => ({ servers: await this.client.iceServers() });
}
