// How other users are: those in rooms of ours, and those that were asked for.

import { Emitter } from "./emitter";
import type { Session } from "./session";
import type { Presence, Requests } from "./types";

export interface PresenceEvents {
  change: { user: string; presence: Presence };
}

export class PresenceStore extends Emitter<PresenceEvents> {
  readonly #session: Session;
  readonly #known = new Map<string, Presence>();
  readonly #watched = new Set<string>();
  #own: Requests["presence:set"][0] = {};

  constructor(session: Session) {
    super();
    this.#session = session;
    session.on("presence:update", ({ user, ...presence }) => this.#learn(user, presence));
    session.on("connected", ({ recovered }) => {
      if (!recovered) this.#again();
    });
  }

  /** What was heard last of a user. */
  get(user: string): Presence | undefined {
    return this.#known.get(user);
  }

  /** Everybody that something was heard of. */
  get users(): ReadonlyMap<string, Presence> {
    return this.#known;
  }

  /** Hears of these users from now on, and learns how they are. */
  async watch(users: string[]): Promise<void> {
    for (const user of users) this.#watched.add(user);
    await this.#session.request("presence:subscribe", { users });
    await this.#session.ask("presence:get", { users }, ({ users: found }) => {
      for (const [user, presence] of Object.entries(found)) this.#learn(user, presence);
    });
  }

  /** Hears of nobody that it was asked for; those in rooms of ours go on. */
  async unwatch(): Promise<void> {
    this.#watched.clear();
    await this.#session.request("presence:subscribe", { users: [] });
  }

  /** Says how we are ourselves. */
  async set(own: Requests["presence:set"][0]): Promise<void> {
    this.#own = { ...this.#own, ...own };
    await this.#session.request("presence:set", own);
  }

  #learn(user: string, presence: Presence): void {
    this.#known.set(user, presence);
    this.emit("change", { user, presence });
  }

  /** In a new session nobody is watched. */
  #again(): void {
    if (this.#watched.size > 0) this.watch([...this.#watched]).catch(() => {});
    if (Object.keys(this.#own).length > 0) this.#session.request("presence:set", this.#own).catch(() => {});
  }
}
