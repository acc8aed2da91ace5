// One session on the plain wire (`turnstone.v1.json`): hello, requests with answers, pushes, and coming back.
//
// A request that finds no connection, or loses it before its answer, is sent again behind the next welcome, in its
// place: what must not happen twice carries a `client_ref`, and the rest says the same when it is said again.

import { Backoff } from "./backoff";
import { Emitter } from "./emitter";
import { TurnstoneError } from "./errors";
import { Token } from "./token";
import type { Call } from "./call";
import type { TokenSource } from "./token";
import type { ErrorCode, LiveCall, Pushes, Requests, Welcome } from "./types";

export type SessionOptions = TokenSource & {
  /** Where Turnstone is, as `https://turn.example.org`; without it, where the page came from. */
  url?: string;
  /**
   * Names this device; at random without it. Of one page at a time: of calls that the page before it has left, as by a
   * reload, the first welcome ends those that it made or took, and tells of those that ring for it.
   */
  device?: string;
  /** How long an answer may take, over reconnects; 10 s. */
  timeoutMs?: number;
  /** Between two tries to connect: at random up to `baseMs` (250), doubled each time up to `maxMs` (8 s). */
  backoff?: { baseMs?: number; maxMs?: number };
  /** In place of the global one. */
  WebSocket?: typeof WebSocket;
  /** In place of the global one. */
  fetch?: typeof fetch;
  /** In place of the global one. */
  RTCPeerConnection?: typeof RTCPeerConnection;
};

/** `idle` before `connect()`; `closed` behind `close()` or a refusal that no other try will change. */
export type SessionState = "idle" | "connecting" | "connected" | "reconnecting" | "closed";

export interface SessionEvents {
  /** Somebody calls. */
  incoming: Call;
  state: SessionState;
  /** Let in. `recovered`: every missed event follows; else the session is new. */
  connected: { session: string; user: string; device: string; recovered: boolean };
  /** What was missed cannot be told event by event: these are the calls that live. Rooms are joined again. */
  snapshot: { calls: LiveCall[] };
  /** The network of this device has changed. */
  network: undefined;
  /** It is closed for good, and why. */
  failed: TurnstoneError;
}

export interface RequestOptions {
  timeoutMs?: number;
  /** Of use now or never: it is sent at most once. */
  once?: boolean;
}

interface Pending {
  frame: string;
  once: boolean;
  answered(data: unknown): void;
  failed(error: TurnstoneError): void;
}

interface Frame {
  welcome?: Welcome;
  error?: { code: ErrorCode; message: string; retry_after_ms?: number };
  re?: number;
  ok?: boolean;
  data?: unknown;
  code?: ErrorCode;
  message?: string;
  retry_after_ms?: number;
  ev?: string;
  seq?: string;
}

/** What this client can do, as a hello says it. */
const CAPS = ["glare", "report", "explicit_accept"];
/** From the first byte to the welcome. */
const CONNECT_MS = 10_000;
/** How long a sign of life may take. */
const PROBE_MS = 5_000;
/** Requests without an answer; one more is a loop that nobody looks at. */
const PENDING_MAX = 256;
/** Refusals of a token in a row, each with a fresh one, until it is given up. */
const REFUSALS_MAX = 3;

export class Session extends Emitter<SessionEvents & Pushes> {
  /** Without a slash at its end. */
  protected readonly base: string;
  protected readonly token: Token;
  /** How long an answer may take, in milliseconds. */
  protected readonly answerMs: number;
  readonly #options: SessionOptions;
  readonly #backoff: Backoff;
  readonly #pending = new Map<number, Pending>();
  #state: SessionState = "idle";
  #device: string;
  #user = "";
  #socket: WebSocket | undefined;
  #resume: { pid: string; offset?: string } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pulse: ReturnType<typeof setTimeout> | undefined;
  #nextId = 1;
  #refusals = 0;
  /** No try before this one: the server said so. */
  #notBefore = 0;
  #isHeard = false;
  /** As `wifi`; undefined where the browser does not say. */
  #networkType: string | undefined;

  constructor(options: SessionOptions) {
    super();
    this.#options = options;
    this.base = (options.url ?? location.origin).replace(/^ws/, "http").replace(/\/+$/, "");
    this.token = new Token(options);
    this.answerMs = options.timeoutMs ?? 10_000;
    this.#device = options.device ?? randomName();
    this.#backoff = new Backoff(options.backoff?.baseMs ?? 250, options.backoff?.maxMs ?? 8_000);
    this.on("auth:expiring", () => void this.#refresh(3));
    this.on("server:shutdown", ({ retry_after_ms }) => this.#wait(retry_after_ms));
  }

  get state(): SessionState {
    return this.#state;
  }

  /** Who we are, once we were let in. */
  get user(): string {
    return this.#user;
  }

  get device(): string {
    return this.#device;
  }

  /** Connects, and stays connected until `close()`. Resolves with the first welcome; rejects when that will not come. */
  connect(): Promise<void> {
    if (this.#state === "connected") return Promise.resolve();
    const connected = new Promise<void>((resolve, reject) => {
      const ends = [this.on("connected", () => done(resolve)), this.on("failed", (error) => done(() => reject(error)))];
      const done = (then: () => void) => {
        for (const end of ends) end();
        then();
      };
    });
    if (this.#state === "idle" || this.#state === "closed") {
      this.#watchNetwork(true);
      this.#enter("connecting");
      void this.#open();
    }
    return connected;
  }

  /** Leaves: the session ends on the server, too. */
  close(): void {
    this.#fail(new TurnstoneError("closed", "the client was closed"));
  }

  /** Does not wait for the next try. */
  reconnectNow(): void {
    if (this.#state !== "connecting" && this.#state !== "reconnecting") return;
    if (this.#socket || Date.now() < this.#notBefore) return;
    this.#backoff.reset();
    clearTimeout(this.#timer);
    void this.#open();
  }

  /** Says something and returns the answer; rejects with a `TurnstoneError`. */
  request<Name extends keyof Requests>(
    name: Name,
    data: Requests[Name][0],
    options?: RequestOptions,
  ): Promise<Requests[Name][1]> {
    return this.ask(name, data, (answer) => answer, options);
  }

  /** A token in place of the one before, of the same user: for apps without `getToken`, on `auth:expiring`. */
  async refresh(token: string): Promise<void> {
    this.token.replace(token);
    await this.request("auth:refresh", { token });
  }

  /** @internal The same; `take` sees the answer before any later event is told. */
  ask<Name extends keyof Requests, T>(
    name: Name,
    data: Requests[Name][0],
    take: (answer: Requests[Name][1]) => T,
    { timeoutMs, once = false }: RequestOptions = {},
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#state === "closed") return reject(new TurnstoneError("closed", "the client is closed"));
      if (once && this.#state !== "connected") return reject(lost());
      if (this.#pending.size >= PENDING_MAX) {
        return reject(new TurnstoneError("rate_limited", "too many requests wait for their answers"));
      }
      const id = this.#nextId++;
      const limit = timeoutMs ?? this.answerMs;
      const timer = setTimeout(() => this.#pending.get(id)?.failed(new TurnstoneError("timeout", `no answer to ${name}`)), limit);
      const settled = () => {
        clearTimeout(timer);
        this.#pending.delete(id);
      };
      const pending: Pending = {
        frame: JSON.stringify({ id, ev: name, data }),
        once,
        answered: (answer) => {
          settled();
          try {
            resolve(take(answer as Requests[Name][1]));
          } catch (error) {
            reject(error);
          }
        },
        failed: (error) => {
          settled();
          reject(error);
        },
      };
      this.#pending.set(id, pending);
      if (this.#state === "connected") this.#socket?.send(pending.frame);
    });
  }

  /** @internal */
  get PeerConnection(): typeof RTCPeerConnection {
    return this.#options.RTCPeerConnection ?? RTCPeerConnection;
  }

  protected fetch(path: string, init: RequestInit): Promise<Response> {
    return (this.#options.fetch ?? fetch)(this.base + path, init);
  }

  #enter(state: SessionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.emit("state", state);
  }

  async #open(): Promise<void> {
    let token: string;
    const isStale = this.#newTimer(CONNECT_MS, () => this.#drop());
    try {
      token = await this.token.current();
    } catch {
      // Whoever issues tokens is away, like a server that is away.
      if (!isStale()) this.#drop();
      return;
    }
    if (isStale()) return;
    const Socket = this.#options.WebSocket ?? WebSocket;
    let socket: WebSocket;
    try {
      socket = new Socket(`${this.base.replace(/^http/, "ws")}/ws`, ["turnstone.v1.json"]);
    } catch (error) {
      // An address that is none, or one that this page may not go to: no other try will change that.
      return this.#fail(new TurnstoneError("bad_request", `cannot connect to ${this.base}: ${(error as Error).message}`));
    }
    this.#socket = socket;
    const hello = { token, device: this.#device, caps: CAPS, resume: this.#resume };
    socket.onopen = () => socket.send(JSON.stringify({ hello }));
    socket.onmessage = ({ data }) => this.#hear(String(data));
    socket.onclose = () => this.#drop();
    // What went wrong is not said to pages; the close follows.
    socket.onerror = () => {};
  }

  #hear(text: string): void {
    this.#isHeard = true;
    const frame = JSON.parse(text) as Frame;
    if (frame.welcome) {
      this.#welcome(frame.welcome);
    } else if (frame.re !== undefined) {
      const pending = this.#pending.get(frame.re);
      if (frame.ok) pending?.answered(frame.data);
      else pending?.failed(refusal(frame));
    } else if (frame.ev) {
      if (frame.seq !== undefined && this.#resume) this.#resume.offset = frame.seq;
      this.emit(frame.ev as keyof Pushes, frame.data as never);
    } else if (frame.error) {
      this.#refused(refusal(frame.error));
    }
  }

  #welcome({ session, user, device, pid, recovered, ping_interval_ms }: Welcome): void {
    const wasIn = this.#resume !== undefined;
    this.#resume = recovered ? { ...this.#resume, pid } : { pid };
    this.#user = user;
    this.#device = device;
    this.#refusals = 0;
    this.#backoff.reset();
    clearTimeout(this.#timer);
    // What is asked from here on finds a connection, and goes out by itself.
    const waiting = [...this.#pending.values()];
    this.#enter("connected");
    this.#beat(ping_interval_ms);
    // What a new session needs goes first: rooms are joined before anything is said in them.
    this.emit("connected", { session, user, device, recovered });
    for (const { frame } of waiting) this.#socket?.send(frame);
    if (wasIn && !recovered) {
      this.ask("call:sync", {}, (snapshot) => this.emit("snapshot", snapshot)).catch(() => {});
    }
  }

  #refused(error: TurnstoneError): void {
    const isToken = error.code === "unauthorized" || error.code === "token_expired";
    const isLater = error.retryAfterMs !== undefined || error.code === "unavailable" || error.code === "internal";
    this.#refusals += isToken ? 1 : 0;
    if (isToken && this.token.isRenewable && this.#refusals < REFUSALS_MAX) {
      this.token.forget();
    } else if (isLater) {
      this.#wait(error.retryAfterMs);
    } else {
      this.#fail(error);
    }
  }

  #wait(ms = 0): void {
    this.#notBefore = Date.now() + ms;
  }

  /** The connection is gone, or as good as that. */
  #drop(): void {
    this.#hangUp();
    if (this.#state === "closed") return;
    for (const pending of [...this.#pending.values()]) if (pending.once) pending.failed(lost());
    if (this.#state === "connected") this.#enter("reconnecting");
    const wait = Math.max(this.#backoff.next(), this.#notBefore - Date.now());
    this.#newTimer(wait, () => void this.#open());
  }

  /** `code`: 1000 says goodbye; otherwise the session waits on the server. */
  #hangUp(code = 4000): void {
    clearTimeout(this.#pulse);
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    // A socket without a network takes long to say that it is closed; nobody waits for it.
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  #fail(error: TurnstoneError): void {
    if (this.#state === "closed") return;
    this.#watchNetwork(false);
    this.#newTimer(0, () => {});
    this.#hangUp(1000);
    this.#resume = undefined;
    this.#enter("closed");
    for (const pending of [...this.#pending.values()]) pending.failed(error);
    this.emit("failed", error);
  }

  /** One timer at a time. Returns whether another one took its place. */
  #newTimer(ms: number, then: () => void): () => boolean {
    clearTimeout(this.#timer);
    const timer = setTimeout(then, ms);
    this.#timer = timer;
    return () => this.#timer !== timer;
  }

  /** A browser does not tell of the server's pings: after a silence we ask ourselves. */
  #beat(ms: number): void {
    clearTimeout(this.#pulse);
    this.#isHeard = false;
    this.#pulse = setTimeout(() => {
      if (!this.#isHeard) this.#probe();
      this.#beat(ms);
    }, ms);
  }

  #probe(): void {
    const socket = this.#socket;
    this.#isHeard = false;
    this.ask("heartbeat", {}, () => {}, { timeoutMs: PROBE_MS, once: true }).catch(() => {
      if (socket === this.#socket && !this.#isHeard) this.#drop();
    });
  }

  readonly #networkChanged = (): void => {
    if (this.#state === "connected") this.#probe();
    else this.reconnectNow();
    this.emit("network", undefined);
  };

  /** It changes also with each new estimate of delay and rate, of which a call wants to know nothing. */
  readonly #networkMeasured = (): void => {
    const type = networkConnection()?.type;
    if (type !== this.#networkType) this.#networkChanged();
    else if (this.#state === "connected") this.#probe();
    this.#networkType = type;
  };

  #watchNetwork(isOn: boolean): void {
    const verb = isOn ? "addEventListener" : "removeEventListener";
    const connection = networkConnection();
    this.#networkType = connection?.type;
    globalThis[verb]?.("online", this.#networkChanged);
    connection?.[verb]?.("change", this.#networkMeasured);
  }

  async #refresh(tries: number): Promise<void> {
    if (!this.token.isRenewable) return;
    try {
      await this.refresh(await this.token.renew());
    } catch {
      // The last try is the next connection's: the server closes this one when the token has ended.
      if (tries > 1) setTimeout(() => this.#state === "connected" && void this.#refresh(tries - 1), PROBE_MS);
    }
  }
}

/** 128 random bits: also where a page is no secure context. */
export function randomName(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Network Information API, where there is one. */
function networkConnection(): (EventTarget & { type?: string }) | undefined {
  return (globalThis.navigator as { connection?: EventTarget & { type?: string } } | undefined)?.connection;
}

function refusal({ code = "internal", message = "", retry_after_ms }: Frame): TurnstoneError {
  return new TurnstoneError(code, message, retry_after_ms);
}

function lost(): TurnstoneError {
  return new TurnstoneError("lost", "there is no connection");
}
