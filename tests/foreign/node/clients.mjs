// Clients that others wrote, driven by a test: one JSON object a line tells them what to do (standard input), and one
// JSON object a line says what they saw (standard output). Nothing here knows what is right.
//
//   {"as":"alice","do":"open","wire":"socket.io"|"plain","url":..,"auth":{..},"options":{..}}
//   {"as":"alice","do":"emit","event":..,"data":..,"ack":7}       without `ack` no answer is asked for
//   {"as":"alice","do":"auth","auth":{..}}       what its `auth` function answers from now on
//   {"as":"alice","do":"reconnect","offset":..}  the plain client, with its resume; `offset` instead of the last seen
//   {"as":"alice","do":"close"}                  the client leaves
//   {"as":"alice","do":"break"}                  the client closes its transport, as if the line was lost
//
// The first line says that orders are taken: {"as":"node","what":"ready"}.
//
// Wire "sdk" is our own client, with verbs of its own: sdk.mjs.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { Sdk } from "./sdk.mjs";

const clients = new Map();

// Bytes go through JSON lines as {"$bytes":".."}.
const isBytes = (value) => value instanceof Uint8Array || value instanceof ArrayBuffer;
const toLine = (value) => {
  if (isBytes(value)) return { $bytes: Buffer.from(value).toString() };
  if (Array.isArray(value)) return value.map(toLine);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, toLine(inner)]));
};
const fromLine = (_key, value) => (value?.$bytes === undefined ? value : Buffer.from(value.$bytes));
const report = (seen) => process.stdout.write(`${JSON.stringify(toLine(seen))}\n`);

class SocketIo {
  constructor(name, { url, auth, options }) {
    this.auth = auth;
    const tell = (what, body) => report({ as: name, what, body });
    const ask = (answer) => {
      tell("auth", { recovers: this.socket._pid !== undefined });
      answer(this.auth);
    };
    const defaults = { forceNew: true, reconnectionDelay: 5, reconnectionDelayMax: 20, autoConnect: false };
    this.socket = io(url, { ...defaults, auth: ask, ...options });
    const manager = this.socket.io;
    manager.on("open", () => {
      const engine = manager.engine;
      tell("open", engine.transport.name);
      engine.on("upgrade", (transport) => tell("upgrade", transport.name));
    });
    manager.on("error", (error) => tell("error", error.message));
    this.socket.on("connect", () => {
      const { name, ws } = manager.engine.transport;
      tell("connect", { recovered: this.socket.recovered, id: this.socket.id, transport: name, extensions: ws?.extensions });
    });
    this.socket.on("disconnect", (reason) => tell("disconnect", { reason, active: this.socket.active }));
    this.socket.on("connect_error", ({ message, data }) => {
      tell("connect_error", { message, data, active: this.socket.active });
    });
    this.socket.onAny((event, ...args) => {
      report({ as: name, what: "event", event, args, transport: manager.engine.transport.name });
    });
    this.socket.connect();
    this.name = name;
  }

  emit({ event, data, ack }) {
    if (ack === undefined) return void this.socket.emit(event, data);
    const tell = (body, more) => report({ as: this.name, what: "ack", ack, body, more });
    if (this.socket._opts.retries === undefined) {
      return void this.socket.emit(event, data, (answer, ...more) => tell(answer, more.length));
    }
    this.socket.emit(event, data, (error, answer) => tell(error ? { timeout: error.message } : answer));
  }

  close() {
    this.socket.disconnect();
  }

  break() {
    this.socket.io.engine.close();
  }
}

class Plain {
  constructor(name, { url, auth, options }) {
    Object.assign(this, { name, url, auth, options });
    this.open();
  }

  open(offset) {
    const tell = (what, body) => report({ as: this.name, what, body });
    const socket = new WebSocket(this.url, ["turnstone.v1.json"], this.options);
    this.socket = socket;
    socket.on("open", () => {
      tell("open", { protocol: socket.protocol, extensions: socket.extensions });
      const resume = this.pid && { resume: { pid: this.pid, offset: offset ?? this.seq } };
      socket.send(JSON.stringify({ hello: { ...this.auth, ...resume } }));
    });
    socket.on("message", (text) => {
      const message = JSON.parse(text);
      if (message.welcome) {
        this.pid = message.welcome.pid;
        tell("welcome", message.welcome);
      } else if (message.error) {
        tell("refused", message.error);
      } else if (message.re !== undefined) {
        report({ as: this.name, what: "ack", ack: message.re, body: message });
      } else {
        this.seq = message.seq ?? this.seq;
        report({ as: this.name, what: "event", event: message.ev, args: [message.data] });
      }
    });
    socket.on("unexpected-response", (_request, { statusCode }) => tell("status", statusCode));
    socket.on("error", (error) => tell("error", error.message));
    socket.on("close", (code, reason) => tell("close", { code, reason: String(reason) }));
  }

  emit({ event, data, ack }) {
    this.socket.send(JSON.stringify({ id: ack, ev: event, data }));
  }

  reconnect({ offset }) {
    this.open(offset);
  }

  close() {
    this.socket.close(1000);
  }

  break() {
    this.socket.terminate();
  }
}

function opened(name, order) {
  switch (order.wire) {
    case "plain":
      return new Plain(name, order);
    case "sdk":
      return new Sdk(name, order, report);
    default:
      return new SocketIo(name, order);
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { as: name, do: verb, ...rest } = JSON.parse(line, fromLine);
  if (verb === "open") {
    clients.set(name, opened(name, rest));
  } else if (clients.get(name) instanceof Sdk) {
    clients.get(name).do(verb, rest);
  } else if (verb === "auth") {
    clients.get(name).auth = rest.auth;
  } else {
    clients.get(name)[verb](rest);
  }
});
lines.on("close", () => process.exit(0));
report({ as: "node", what: "ready" });
