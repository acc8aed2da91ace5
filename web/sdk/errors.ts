import type { ErrorCode } from "./types";

/** What went wrong, by its code; `message` is for people. */
export class TurnstoneError extends Error {
  override readonly name = "TurnstoneError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    /** When it is worth another try. */
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}
