// The wire: what a client says and hears, as src/signaling/PROTOCOL.md tells it. Names are those of the JSON.

/** A STUN or TURN server with its credential: what `new RTCPeerConnection({iceServers})` takes. */
export interface IceServer {
  urls: string[];
  username?: string;
  credential?: string;
}

/** Servers made for this user and one call; `ice_ttl`: seconds until their credential ends. */
export interface IceGrant {
  ice_servers: IceServer[];
  ice_ttl: number;
}

export type CallType = "audio" | "video";
export type Role = "caller" | "callee";
/** What the server says of a call; `reconnecting`: somebody else's signaling is away, media may live. */
export type ServerCallState = "ringing" | "connecting" | "active" | "reconnecting";
/** Why a call ended. */
export type EndReason =
  | "hangup" | "cancelled" | "rejected" | "busy" | "no_answer" | "offline" | "answered_elsewhere"
  | "rejected_elsewhere" | "ice_failed" | "ice_timeout" | "media_failed" | "lost" | "glare_merged" | "blocked"
  | "expired" | "max_duration" | "server_shutdown" | "error";
/** What a client may give as the reason when it ends a call itself. */
export type OwnEndReason = "ice_failed" | "ice_timeout" | "media_failed" | "busy" | "error";

/** What the server, or the client on its behalf, answers instead of what was asked for. */
export type ErrorCode =
  | "unauthorized" | "token_expired" | "forbidden" | "bad_request" | "too_large" | "rate_limited" | "not_found"
  | "offline" | "busy" | "blocked" | "no_call" | "call_id_required" | "wrong_state" | "answered_elsewhere" | "ended"
  | "glare" | "duplicate" | "room_full" | "unavailable" | "internal"
  /** Of the client itself: no answer in time; the connection went while the answer was due; `close()` was called. */
  | "timeout" | "lost" | "closed";

/** Who is in: the answer to a hello. */
export interface Welcome {
  session: string;
  user: string;
  device: string;
  /** Names the session to whoever comes back to it. Secret. */
  pid: string;
  /** Everything missed follows, once and in order; else the session is new. */
  recovered: boolean;
  ping_interval_ms: number;
  /** Bytes. */
  max_message: number;
}

/** How a user is. `last_seen`: milliseconds since the Unix epoch. */
export interface Presence {
  online: boolean;
  devices: number;
  last_seen: number | null;
  status: "active" | "idle" | null;
  meta: unknown;
}

export interface Member {
  user: string;
  device: string;
  role?: string | null;
  info?: unknown;
  meta?: unknown;
}

export interface Attachment {
  url: string;
  name?: string;
  type?: string;
  size?: number;
}

export interface Message {
  id: string;
  from: string;
  to?: string;
  room?: string;
  body: unknown;
  thread?: string;
  attachments?: Attachment[];
  client_ref?: string;
  at: number;
  /** Its number in its conversation. */
  seq: number;
}

/** A place to speak: a room, or another user. */
export type To = { to: string } | { room: string };
/** A conversation to read. */
export type With = { with: string } | { room: string };

export interface Conversation {
  room?: string;
  with?: string;
  unread: number;
  head: number;
  read: number;
  last: { id: string; from: string; at: number };
}

/** A live call, as `call:sync` tells it. */
export interface LiveCall {
  call_id: string;
  state: ServerCallState;
  rev: number;
  call_type: CallType;
  role: Role | "member";
  /** The other user; absent in a group. */
  peer?: string;
  room?: string;
  members?: { user: string; device: string }[];
  expires_at?: number;
}

/** The answer to `call:start` and `call:accepted`. */
export interface CallGrant extends IceGrant {
  call_id: string;
  state: ServerCallState;
  role: Role;
  /** For perfect negotiation; holds for the whole call. */
  polite: boolean;
  devices?: number;
  push?: boolean;
  expires_at?: number;
  /** The other side called first: this is its call, and it is ours to answer. */
  glare?: boolean;
}

export interface IncomingCall extends IceGrant {
  call_id: string;
  caller_id: string;
  callee_id: string;
  from: string;
  caller: { id: string; name?: string | null; device_id?: string };
  call_type: CallType;
  polite: boolean;
  expires_at: number;
  data?: unknown;
  /** The callee is in another call. */
  waiting?: boolean;
}

export interface Description {
  type: "offer" | "answer" | "pranswer" | "rollback";
  sdp?: string;
}

/** As `RTCIceCandidate.toJSON()` has it. */
export interface Candidate {
  candidate?: string;
  sdpMid?: string | null;
  sdpMLineIndex?: number | null;
  usernameFragment?: string | null;
}

/** What is around every description and candidate that is heard. */
export interface Signal {
  from: string;
  from_device: string;
  call_id: string;
  /** The sender's count of its negotiations. */
  neg?: number;
  /** Grows with each signal of a device. */
  seq: number;
}

/** How a call does. Rates are bits a second since the digest before; lost packets are a share, 0 to 1. */
export interface Digest {
  rtt_ms: number | null;
  in_bps: number;
  out_bps: number;
  loss: number;
  /** Types of the selected pair of candidates: `host`, `srflx`, `prflx` or `relay`. */
  local: string | null;
  remote: string | null;
  /** How the local candidate of type `relay` reaches its TURN server: `udp`, `tcp` or `tls`. */
  relay_protocol: string | null;
}

interface ToPeer {
  to?: string;
  call_id?: string;
  to_device?: string;
  neg?: number;
}
interface OfCall {
  call_id: string;
}
type Nothing = Record<string, never>;

/** What a client says, and the answer to it. */
export interface Requests {
  "call:start": [
    ({ to: string } | { room: string }) & {
      call_type?: CallType;
      client_ref?: string;
      timeout_ms?: number;
      data?: unknown;
    },
    CallGrant,
  ];
  "call:accepted": [OfCall, CallGrant];
  "call:rejected": [OfCall & { reason?: string }, Nothing];
  "webrtc:offer": [ToPeer & { offer: Description }, Nothing];
  "webrtc:answer": [ToPeer & { answer: Description }, Nothing];
  "webrtc:ice-candidate": [ToPeer & ({ candidate: Candidate | null } | { candidates: (Candidate | null)[] }), Nothing];
  "call:connected": [OfCall, Nothing];
  "call:restart": [OfCall, IceGrant & OfCall];
  "call:stats": [OfCall & { digest: Digest }, Nothing];
  "call:end": [(OfCall | { to: string }) & { reason?: OwnEndReason }, { duration_ms: number }];
  "call:sync": [Nothing, { calls: LiveCall[] }];
  "room:join": [
    { room: string; role?: string; info?: unknown },
    { room: string; members: Member[]; more?: boolean },
  ];
  "room:leave": [{ room?: string }, Nothing];
  "presence:set": [{ status?: "active" | "idle"; meta?: unknown }, Nothing];
  "presence:get": [{ users: string[] } | { room: string }, { users: Record<string, Presence> }];
  "presence:subscribe": [{ users: string[] }, Nothing];
  heartbeat: [Nothing, { at: number }];
  "message:send": [
    To & { body: unknown; store?: boolean; thread?: string; attachments?: Attachment[]; client_ref?: string },
    { id: string; seq: number; at: number },
  ];
  "message:history": [
    With & { before?: number; limit?: number; thread?: string },
    { messages: Message[]; more: boolean },
  ];
  "message:read": [With & { seq: number }, Nothing];
  "message:unread": [Nothing, { conversations: Conversation[]; more?: boolean }];
  "message:typing": [To, Nothing];
  "message:stop_typing": [To, Nothing];
  "event:emit": [To & { name: string; data?: unknown; class?: "coalesce" | "droppable" }, Nothing];
  "auth:refresh": [{ token: string }, { exp: number }];
}

export interface RoomChange {
  room: string;
  user: string;
  device: string;
  role?: string | null;
  info?: unknown;
  members?: number;
  reason?: string;
}

export interface ErrorPush {
  event: string;
  call_id?: string;
  code: ErrorCode;
  message: string;
  retry_after_ms?: number;
}

/** What a client hears. */
export interface Pushes {
  "connection:established": { session: string; user: string; device: string; recovered: boolean };
  "call:incoming": IncomingCall;
  "call:ringing": OfCall & { devices: number };
  "call:accepted": OfCall & { from: string; device_id: string; callee_id?: string };
  "call:rejected": OfCall & { from: string; reason: "declined" | "busy" | "offline" | "no_answer" | "blocked" };
  "call:end": OfCall & { from: string | null; reason: EndReason; ended_by: string | null; duration_ms: number };
  "call:peer-state": OfCall & { user: string; state: "reconnecting" | "back" };
  "call:restart": OfCall & IceGrant & { from: string; from_device: string };
  "call:ice-servers": OfCall & IceGrant;
  "call:member": OfCall & { user: string; device: string; state: "joined" | "left" };
  "call:sync": { calls: LiveCall[] };
  "call:error": ErrorPush;
  "webrtc:offer": Signal & { offer: Description };
  "webrtc:answer": Signal & { answer: Description };
  "webrtc:ice-candidate": Signal & { candidate: Candidate | null };
  "room:joined": RoomChange;
  "room:left": RoomChange;
  "presence:update": Presence & { user: string };
  user_online: { user: string };
  user_offline: { user: string };
  "heartbeat:ack": { at: number };
  "message:receive": Message;
  "message:delivered": { id: string; to?: string; room?: string; seq: number; devices: number };
  "message:read": { by: string; room?: string; seq: number };
  "message:typing": { from: string; room?: string };
  "message:stop_typing": { from: string; room?: string };
  event: { from: string | null; room?: string; name: string; data: unknown };
  "auth:expiring": { exp: number };
  "auth:expired": Nothing;
  "server:shutdown": { retry_after_ms?: number };
  error: ErrorPush;
}
