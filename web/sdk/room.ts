// A room that we are in.

import { Emitter } from "./emitter";
import type { TurnstoneError } from "./errors";
import type { Session } from "./session";
import type { Attachment, ErrorCode, Member, Message, RoomChange } from "./types";

export interface RoomEvents {
  joined: Member;
  left: Member;
  /** Who is there has changed, by whichever way. */
  participants: Member[];
  message: Message;
  typing: { from: string; isTyping: boolean };
  event: { from: string | null; name: string; data: unknown };
  /** We are in it no more: it was left, or closed by the server. */
  closed: undefined;
}

export interface MessageOptions {
  store?: boolean;
  thread?: string;
  attachments?: Attachment[];
  client_ref?: string;
}

/** Refusals that another try would meet again. */
const FINAL: ErrorCode[] = ["forbidden", "not_found", "room_full", "bad_request"];
/** How long to wait where the refusal does not say. */
const AGAIN_MS = 1_000;

export type JoinOptions = { role?: string; info?: unknown };

export class Room extends Emitter<RoomEvents> {
  readonly #session: Session;
  readonly #ends: (() => void)[];
  readonly #members = new Map<string, Member>();
  readonly #options: JoinOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    session: Session,
    readonly name: string,
    options: JoinOptions,
  ) {
    super();
    this.#session = session;
    this.#options = options;
    const here = <T extends { room?: string }>(listener: (data: T) => void) => {
      return (data: T) => {
        if (data.room === name) listener(data);
      };
    };
    this.#ends = [
      session.on("room:joined", here((change) => this.#joined(change))),
      session.on("room:left", here((change) => this.#left(change))),
      session.on("message:receive", here((message) => this.emit("message", message))),
      session.on("message:typing", here(({ from }) => this.emit("typing", { from, isTyping: true }))),
      session.on("message:stop_typing", here(({ from }) => this.emit("typing", { from, isTyping: false }))),
      session.on("event", here(({ from, name, data }) => this.emit("event", { from, name, data }))),
      session.on("connected", ({ recovered }) => {
        if (!recovered) this.#rejoin();
      }),
    ];
  }

  /** Everybody in it, each device by itself; ours, too. */
  get participants(): Member[] {
    return [...this.#members.values()];
  }

  /** Says something to everybody in it. Resolves when the server has it; with `store`, on its disk. */
  send(body: unknown, options: MessageOptions = {}) {
    return this.#session.request("message:send", { room: this.name, body, ...options });
  }

  /** Older messages, the latest last. */
  history(options: { before?: number; limit?: number; thread?: string } = {}) {
    return this.#session.request("message:history", { room: this.name, ...options });
  }

  /** We have read up to here. */
  read(seq: number) {
    return this.#session.request("message:read", { room: this.name, seq });
  }

  /** Stops by itself after 3 s. */
  typing(isTyping = true): void {
    const verb = isTyping ? "message:typing" : "message:stop_typing";
    this.#session.request(verb, { room: this.name }, { once: true }).catch(() => {});
  }

  /** An event of the app's own, which nobody keeps. */
  event(name: string, data?: unknown, kind?: "coalesce" | "droppable") {
    const more = kind ? { class: kind } : {};
    return this.#session.request("event:emit", { room: this.name, name, data, ...more }, { once: true });
  }

  async leave(): Promise<void> {
    this.close();
    await this.#session.request("room:leave", { room: this.name });
  }

  /** Joins it, or joins it again in a new session. */
  async enter(): Promise<void> {
    // Before who comes or leaves behind the answer is heard of.
    await this.#session.ask("room:join", { room: this.name, ...this.#options }, ({ members }) => {
      this.#members.clear();
      for (const member of members) this.#members.set(keyOf(member), member);
      this.emit("participants", this.participants);
    });
  }

  /** @internal Ends it here. */
  close(): void {
    clearTimeout(this.#timer);
    for (const end of this.#ends.splice(0)) end();
    this.emit("closed", undefined);
  }

  /** Only a refusal that holds closes it: behind any other, the next welcome is another chance. */
  #rejoin(): void {
    clearTimeout(this.#timer);
    this.enter().catch(({ code, retryAfterMs }: TurnstoneError) => {
      if (this.#ends.length === 0) return;
      if (FINAL.includes(code)) this.close();
      if (code === "rate_limited") this.#timer = setTimeout(() => this.#rejoin(), retryAfterMs ?? AGAIN_MS);
    });
  }

  #joined({ user, device, role, info }: RoomChange): void {
    const member: Member = { user, device, role: role ?? null, info };
    this.#members.set(keyOf(member), member);
    this.emit("joined", member);
    this.emit("participants", this.participants);
  }

  #left(change: RoomChange): void {
    const { user, device } = change;
    if (user === this.#session.user && device === this.#session.device) {
      // Without a reason it is another page of this device that has left.
      if (change.reason) this.close();
      return;
    }
    this.#members.delete(keyOf(change));
    this.emit("left", { user, device });
    this.emit("participants", this.participants);
  }
}

function keyOf({ user, device }: { user: string; device: string }): string {
  return JSON.stringify([user, device]);
}
