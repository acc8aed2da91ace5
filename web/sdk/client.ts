// The whole client: a session with calls, rooms, presence and ICE servers.

import { CALL_PUSHES, Call } from "./call";
import type { CallPush, MediaOptions } from "./call";
import { TurnstoneError } from "./errors";
import { IceServers } from "./ice_servers";
import { PresenceStore } from "./presence";
import { Room } from "./room";
import type { JoinOptions } from "./room";
import { Session, randomName } from "./session";
import type { SessionOptions } from "./session";
import type { CallGrant, CallType, IceServer, IncomingCall, LiveCall } from "./types";

export type CallOptions = MediaOptions & {
  /** By the stream's tracks where it is left out. */
  type?: CallType;
  /** For the callee to see while it rings. */
  data?: unknown;
  /** How long it rings. */
  timeoutMs?: number;
};

/** A client that connects when it is told to: `connect()`. */
export function createClient(options: SessionOptions): Client {
  return new Client(options);
}

export class Client extends Session {
  readonly presence: PresenceStore = new PresenceStore(this);
  readonly #calls = new Map<string, Call>();
  /** Calls of users whom we are just calling: most likely theirs and ours are going to be one. */
  readonly #held = new Map<string, Call[]>();
  readonly #iceServers: IceServers;

  /** @internal */
  constructor(options: SessionOptions) {
    super(options);
    const ask = async (signal: AbortSignal) => {
      const authorization = `Bearer ${await this.token.current()}`;
      const headers = { authorization, "content-type": "application/json" };
      return this.fetch("/v1/ice-servers", { method: "POST", headers, body: "{}", signal });
    };
    this.#iceServers = new IceServers(this.answerMs, async (signal) => {
      const answer = await ask(signal);
      if (answer.status !== 401 || !this.token.isRenewable) return answer;
      this.token.forget();
      return ask(signal);
    });
    this.on("call:incoming", (incoming) => this.#incoming(incoming));
    for (const name of CALL_PUSHES) {
      this.on(name, (data: { call_id: string }) => this.#calls.get(data.call_id)?.hear(...([name, data] as CallPush)));
    }
    let isFirst = true;
    this.on("connected", ({ recovered }) => {
      if (recovered) {
        for (const call of this.calls) call.resume();
      } else if (isFirst && options.device !== undefined) {
        this.ask("call:sync", {}, ({ calls }) => this.#takeOver(calls)).catch(() => {});
      }
      isFirst = false;
    });
    this.on("snapshot", ({ calls }) => this.#resync(calls));
    this.on("network", () => {
      for (const call of this.calls) call.restartIce();
    });
    this.on("failed", () => {
      isFirst = true;
      for (const call of this.calls) call.over("lost");
    });
  }

  /** Calls that have not ended. */
  get calls(): Call[] {
    return [...this.#calls.values()];
  }

  /**
   * Calls a user. Resolves when it rings, or when the same user called first and both calls became one; rejects with
   * the reason, such as `offline` or `busy`.
   */
  async call(user: string, { type, data, timeoutMs, ...media }: CallOptions = {}): Promise<Call> {
    const call_type = type ?? (media.stream?.getVideoTracks().length ? "video" : "audio");
    const more = { ...(data !== undefined && { data }), ...(timeoutMs !== undefined && { timeout_ms: timeoutMs }) };
    const start = { to: user, call_type, client_ref: randomName(), ...more } as const;
    if (!this.#held.has(user)) this.#held.set(user, []);
    try {
      return await this.ask("call:start", start, (grant) => this.#started(user, call_type, grant, media));
    } catch (error) {
      // Nobody is to answer a call that was given up.
      if ((error as TurnstoneError).code === "timeout") this.request("call:end", { to: user }).catch(() => {});
      throw error;
    } finally {
      const held = this.#held.get(user) ?? [];
      this.#held.delete(user);
      for (const call of held) if (call.state === "ringing") this.emit("incoming", call);
    }
  }

  /** Joins a room, and stays in it over reconnects. */
  async join(name: string, options: JoinOptions = {}): Promise<Room> {
    const room = new Room(this, name, options);
    try {
      await room.enter();
    } catch (error) {
      room.close();
      // Nobody is in a room that was given up.
      if ((error as TurnstoneError).code === "timeout") this.request("room:leave", { room: name }).catch(() => {});
      throw error;
    }
    return room;
  }

  /** ICE servers for connections of the app's own; a call gets its own. Kept until they are about to end. */
  iceServers(): Promise<IceServer[]> {
    return this.#iceServers.get();
  }

  /** Hangs up, and leaves. */
  override close(): void {
    for (const call of this.calls) call.hangUp().catch(() => {});
    super.close();
  }

  #started(user: string, type: CallType, grant: CallGrant, media: MediaOptions): Call {
    const { call_id: id, role, polite } = grant;
    const call = this.#calls.get(id) ?? this.#keep(new Call(this, { id, peer: user, type, role, polite }));
    call.begin(grant, media);
    return call;
  }

  #incoming({ call_id: id, from: peer, call_type: type, polite, data, caller }: IncomingCall): void {
    // It rings again after a restart of the server.
    if (this.#calls.has(id)) return;
    this.#ring(new Call(this, { id, peer, type, role: "callee", polite, data, name: caller.name ?? null }));
  }

  #ring(call: Call): void {
    this.#keep(call);
    const held = this.#held.get(call.peer);
    if (held) held.push(call);
    else this.emit("incoming", call);
  }

  #keep(call: Call): Call {
    this.#calls.set(call.id, call);
    call.on("ended", () => this.#calls.delete(call.id));
    return call;
  }

  /** A page before this one has left calls behind: what rings goes on here, and of others nobody is to wait for media. */
  #takeOver(lives: LiveCall[]): void {
    for (const { call_id: id, peer, call_type: type, role, state } of lives) {
      // Calls of groups are the app's own.
      if (peer === undefined || role === "member" || this.#calls.has(id)) continue;
      if (state === "ringing" && role === "callee") this.#ring(new Call(this, { id, peer, type, role, polite: true }));
      else this.request("call:end", { call_id: id }).catch(() => {});
    }
  }

  /** A new session: the server says which calls live. */
  #resync(lives: LiveCall[]): void {
    for (const call of this.calls) {
      const live = lives.find(({ call_id }) => call_id === call.id);
      if (live) call.resume(live);
      else call.over("lost");
    }
  }
}
