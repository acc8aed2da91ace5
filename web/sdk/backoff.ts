// When to try again: exponential, with full jitter, so that clients that were cut off together come back apart.

export class Backoff {
  #failures = 0;

  constructor(
    readonly baseMs: number,
    readonly maxMs: number,
  ) {}

  /** Milliseconds to wait before the next try. */
  next(): number {
    const span = Math.min(this.maxMs, this.baseMs * 2 ** this.#failures);
    this.#failures += 1;
    return Math.random() * span;
  }

  reset(): void {
    this.#failures = 0;
  }
}
