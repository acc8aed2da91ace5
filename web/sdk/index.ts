// The first-party client: an ES module without dependencies, served at /sdk/turnstone.js.

export { Emitter } from "./emitter";
export type { Unsubscribe } from "./emitter";
export { TurnstoneError } from "./errors";
export type * from "./types";
