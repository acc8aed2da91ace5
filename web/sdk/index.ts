// The first-party client: an ES module without dependencies, served at /sdk/turnstone.js.

export { Call } from "./call";
export type { CallEnd, CallEvents, CallState, MediaOptions } from "./call";
export { Client, createClient } from "./client";
export type { CallOptions } from "./client";
export { Emitter } from "./emitter";
export type { Unsubscribe } from "./emitter";
export { TurnstoneError } from "./errors";
export { PresenceStore } from "./presence";
export type { PresenceEvents } from "./presence";
export { Room } from "./room";
export type { JoinOptions, MessageOptions, RoomEvents } from "./room";
export { Session } from "./session";
export type { RequestOptions, SessionEvents, SessionOptions, SessionState } from "./session";
export type { TokenSource } from "./token";
export type * from "./types";
