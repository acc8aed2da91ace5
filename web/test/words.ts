// What the client says in codes, in words.

import type { CallState, EndReason, ErrorCode, SessionState } from "turnstone";

export const SESSION: Record<SessionState, string> = {
  idle: "not connected",
  connecting: "connecting",
  connected: "connected",
  reconnecting: "connection lost, trying again",
  closed: "closed",
};

export const CALL: Record<CallState, string> = {
  ringing: "ringing",
  connecting: "connecting media",
  connected: "connected",
  reconnecting: "media lost, looking for another way",
  ended: "ended",
};

export const END: Record<EndReason, string> = {
  hangup: "hung up",
  cancelled: "cancelled before anybody answered",
  rejected: "declined",
  busy: "the other side is in another call",
  no_answer: "nobody answered",
  offline: "the other side is not connected",
  answered_elsewhere: "answered on another device",
  rejected_elsewhere: "declined on another device",
  ice_failed: "no way between the two sides was found: run the ICE check on both",
  ice_timeout: "no way between the two sides was found in time: run the ICE check on both",
  media_failed: "media failed",
  lost: "the server does not know this call any more",
  glare_merged: "both called at once, and one call was made of that",
  blocked: "the other side takes no calls of this user",
  expired: "the call was too old",
  max_duration: "the longest time that a call may take is over",
  server_shutdown: "the server was stopped",
  error: "something failed",
};

/** What to do about a request that was refused; nothing where the message says it all. */
export const TO_DO: Partial<Record<ErrorCode, string>> = {
  unauthorized: "The token was refused. Log in again; tokens of this page are good for ten minutes.",
  token_expired: "The token has ended: tokens of this page are good for ten minutes. Open the page again by its first link.",
  offline: "Nobody is there under that name. Open the link for the second participant first.",
  busy: "The other side is in another call. Hang up there first.",
  rate_limited: "Too much at once. Wait some seconds.",
  timeout: "The server did not answer in time. Is it still running?",
  lost: "The connection to the server was lost. It comes back by itself.",
};
