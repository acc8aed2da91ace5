// ICE servers for connections of the app's own, from POST /v1/ice-servers.

import { TurnstoneError } from "./errors";
import type { ErrorCode, IceServer } from "./types";

/** The share of a credential's life after which another one is asked for. */
const FRESH = 0.8;

interface Answer {
  iceServers: IceServer[];
  /** Seconds. */
  ttl: number;
}

export class IceServers {
  readonly #limitMs: number;
  readonly #ask: (signal: AbortSignal) => Promise<Response>;
  #cached: Promise<IceServer[]> | undefined;
  #freshUntil = 0;

  /** `limitMs`: how long it may take until they are there. */
  constructor(limitMs: number, ask: (signal: AbortSignal) => Promise<Response>) {
    this.#limitMs = limitMs;
    this.#ask = ask;
  }

  /** Servers whose credential is good for a fifth of its life at least. Whoever asks at once gets the same. */
  get(): Promise<IceServer[]> {
    if (!this.#cached || Date.now() >= this.#freshUntil) {
      // Until the answer says how long it is good.
      this.#freshUntil = Infinity;
      this.#cached = this.#fetch();
      this.#cached.catch(() => (this.#cached = undefined));
    }
    return this.#cached;
  }

  async #fetch(): Promise<IceServer[]> {
    const asked = Date.now();
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        abort.abort();
        reject(new TurnstoneError("timeout", "no answer to POST /v1/ice-servers"));
      }, this.#limitMs);
    });
    try {
      const { iceServers, ttl } = await Promise.race([this.#answer(abort.signal), late]);
      this.#freshUntil = asked + ttl * 1000 * FRESH;
      return iceServers;
    } finally {
      clearTimeout(timer);
    }
  }

  async #answer(signal: AbortSignal): Promise<Answer> {
    const response = await this.#ask(signal);
    const body = (await response.json()) as Answer & { code?: ErrorCode; message?: string };
    if (!response.ok) throw new TurnstoneError(body.code ?? "internal", body.message ?? `status ${response.status}`);
    return body;
  }
}
