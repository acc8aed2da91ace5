/** Ends a subscription. */
export type Unsubscribe = () => void;
export declare class Emitter<Events extends object> {
    #private;
    /** Hears an event until the returned function is called. */
    on<Name extends keyof Events>(name: Name, listener: (data: Events[Name]) => void): Unsubscribe;
    /** Hears it once. */
    once<Name extends keyof Events>(name: Name, listener: (data: Events[Name]) => void): Unsubscribe;
    protected emit<Name extends keyof Events>(name: Name, data: Events[Name]): void;
}
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
export type EndReason = "hangup" | "cancelled" | "rejected" | "busy" | "no_answer" | "offline" | "answered_elsewhere" | "rejected_elsewhere" | "ice_failed" | "ice_timeout" | "media_failed" | "lost" | "glare_merged" | "blocked" | "expired" | "max_duration" | "server_shutdown" | "error";
/** What a client may give as the reason when it ends a call itself. */
export type OwnEndReason = "ice_failed" | "ice_timeout" | "media_failed" | "busy" | "error";
/** What the server, or the client on its behalf, answers instead of what was asked for. */
export type ErrorCode = "unauthorized" | "token_expired" | "forbidden" | "bad_request" | "too_large" | "rate_limited" | "not_found" | "offline" | "busy" | "blocked" | "no_call" | "call_id_required" | "wrong_state" | "answered_elsewhere" | "ended" | "glare" | "duplicate" | "room_full" | "unavailable" | "internal"
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
export type To = {
    to: string;
} | {
    room: string;
};
/** A conversation to read. */
export type With = {
    with: string;
} | {
    room: string;
};
export interface Conversation {
    room?: string;
    with?: string;
    unread: number;
    head: number;
    read: number;
    last: {
        id: string;
        from: string;
        at: number;
    };
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
    members?: {
        user: string;
        device: string;
    }[];
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
    caller: {
        id: string;
        name?: string | null;
        device_id?: string;
    };
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
        ({
            to: string;
        } | {
            room: string;
        }) & {
            call_type?: CallType;
            client_ref?: string;
            timeout_ms?: number;
            data?: unknown;
        },
        CallGrant
    ];
    "call:accepted": [OfCall, CallGrant];
    "call:rejected": [OfCall & {
        reason?: string;
    }, Nothing];
    "webrtc:offer": [ToPeer & {
        offer: Description;
    }, Nothing];
    "webrtc:answer": [ToPeer & {
        answer: Description;
    }, Nothing];
    "webrtc:ice-candidate": [ToPeer & ({
        candidate: Candidate | null;
    } | {
        candidates: (Candidate | null)[];
    }), Nothing];
    "call:connected": [OfCall, Nothing];
    "call:restart": [OfCall, IceGrant & OfCall];
    "call:stats": [OfCall & {
        digest: Digest;
    }, Nothing];
    "call:end": [(OfCall | {
        to: string;
    }) & {
        reason?: OwnEndReason;
    }, {
        duration_ms: number;
    }];
    "call:sync": [Nothing, {
        calls: LiveCall[];
    }];
    "room:join": [
        {
            room: string;
            role?: string;
            info?: unknown;
        },
        {
            room: string;
            members: Member[];
            more?: boolean;
        }
    ];
    "room:leave": [{
        room?: string;
    }, Nothing];
    "presence:set": [{
        status?: "active" | "idle";
        meta?: unknown;
    }, Nothing];
    "presence:get": [{
        users: string[];
    } | {
        room: string;
    }, {
        users: Record<string, Presence>;
    }];
    "presence:subscribe": [{
        users: string[];
    }, Nothing];
    heartbeat: [Nothing, {
        at: number;
    }];
    "message:send": [
        To & {
            body: unknown;
            store?: boolean;
            thread?: string;
            attachments?: Attachment[];
            client_ref?: string;
        },
        {
            id: string;
            seq: number;
            at: number;
        }
    ];
    "message:history": [
        With & {
            before?: number;
            limit?: number;
            thread?: string;
        },
        {
            messages: Message[];
            more: boolean;
        }
    ];
    "message:read": [With & {
        seq: number;
    }, Nothing];
    "message:unread": [Nothing, {
        conversations: Conversation[];
        more?: boolean;
    }];
    "message:typing": [To, Nothing];
    "message:stop_typing": [To, Nothing];
    "event:emit": [To & {
        name: string;
        data?: unknown;
        class?: "coalesce" | "droppable";
    }, Nothing];
    "auth:refresh": [{
        token: string;
    }, {
        exp: number;
    }];
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
    "connection:established": {
        session: string;
        user: string;
        device: string;
        recovered: boolean;
    };
    "call:incoming": IncomingCall;
    "call:ringing": OfCall & {
        devices: number;
    };
    "call:accepted": OfCall & {
        from: string;
        device_id: string;
        callee_id?: string;
    };
    "call:rejected": OfCall & {
        from: string;
        reason: "declined" | "busy" | "offline" | "no_answer" | "blocked";
    };
    "call:end": OfCall & {
        from: string | null;
        reason: EndReason;
        ended_by: string | null;
        duration_ms: number;
    };
    "call:peer-state": OfCall & {
        user: string;
        state: "reconnecting" | "back";
    };
    "call:restart": OfCall & IceGrant & {
        from: string;
        from_device: string;
    };
    "call:ice-servers": OfCall & IceGrant;
    "call:member": OfCall & {
        user: string;
        device: string;
        state: "joined" | "left";
    };
    "call:sync": {
        calls: LiveCall[];
    };
    "call:error": ErrorPush;
    "webrtc:offer": Signal & {
        offer: Description;
    };
    "webrtc:answer": Signal & {
        answer: Description;
    };
    "webrtc:ice-candidate": Signal & {
        candidate: Candidate | null;
    };
    "room:joined": RoomChange;
    "room:left": RoomChange;
    "presence:update": Presence & {
        user: string;
    };
    user_online: {
        user: string;
    };
    user_offline: {
        user: string;
    };
    "heartbeat:ack": {
        at: number;
    };
    "message:receive": Message;
    "message:delivered": {
        id: string;
        to?: string;
        room?: string;
        seq: number;
        devices: number;
    };
    "message:read": {
        by: string;
        room?: string;
        seq: number;
    };
    "message:typing": {
        from: string;
        room?: string;
    };
    "message:stop_typing": {
        from: string;
        room?: string;
    };
    event: {
        from: string | null;
        room?: string;
        name: string;
        data: unknown;
    };
    "auth:expiring": {
        exp: number;
    };
    "auth:expired": Nothing;
    "server:shutdown": {
        retry_after_ms?: number;
    };
    error: ErrorPush;
}
/** What went wrong, by its code; `message` is for people. */
export declare class TurnstoneError extends Error {
    readonly code: ErrorCode;
    /** When it is worth another try. */
    readonly retryAfterMs?: number | undefined;
    readonly name = "TurnstoneError";
    constructor(code: ErrorCode, message: string, 
    /** When it is worth another try. */
    retryAfterMs?: number | undefined);
}
/** Where a token comes from. `getToken` is asked for one whenever the last is about to end, or was refused. */
export type TokenSource = {
    token: string;
    getToken?: undefined;
} | {
    getToken: () => string | Promise<string>;
};
declare class Token {
    #private;
    constructor(source: TokenSource);
    /** Whether another one can be had. */
    get isRenewable(): boolean;
    /** The token to use now. */
    current(): Promise<string>;
    renew(): Promise<string>;
    /** Takes this one from now on. */
    replace(text: string): void;
    /** It was refused. */
    forget(): void;
}
export type SessionOptions = TokenSource & {
    /** Where Turnstone is, as `https://turn.example.org`; without it, where the page came from. */
    url?: string;
    /**
     * Names this device; at random without it. Of one page at a time: of calls that the page before it has left, as by a
     * reload, the first welcome ends those that it made or took, and tells of those that ring for it.
     */
    device?: string;
    /** How long an answer may take, over reconnects; 10 s. */
    timeoutMs?: number;
    /** Between two tries to connect: at random up to `baseMs` (250), doubled each time up to `maxMs` (8 s). */
    backoff?: {
        baseMs?: number;
        maxMs?: number;
    };
    /** In place of the global one. */
    WebSocket?: typeof WebSocket;
    /** In place of the global one. */
    fetch?: typeof fetch;
    /** In place of the global one. */
    RTCPeerConnection?: typeof RTCPeerConnection;
};
/** `idle` before `connect()`; `closed` behind `close()` or a refusal that no other try will change. */
export type SessionState = "idle" | "connecting" | "connected" | "reconnecting" | "closed";
export interface SessionEvents {
    /** Somebody calls. */
    incoming: Call;
    state: SessionState;
    /** Let in. `recovered`: every missed event follows; else the session is new. */
    connected: {
        session: string;
        user: string;
        device: string;
        recovered: boolean;
    };
    /** What was missed cannot be told event by event: these are the calls that live. Rooms are joined again. */
    snapshot: {
        calls: LiveCall[];
    };
    /** The network of this device has changed. */
    network: undefined;
    /** It is closed for good, and why. */
    failed: TurnstoneError;
}
export interface RequestOptions {
    timeoutMs?: number;
    /** Of use now or never: it is sent at most once. */
    once?: boolean;
}
export declare class Session extends Emitter<SessionEvents & Pushes> {
    #private;
    /** Without a slash at its end. */
    protected readonly base: string;
    protected readonly token: Token;
    /** How long an answer may take, in milliseconds. */
    protected readonly answerMs: number;
    constructor(options: SessionOptions);
    get state(): SessionState;
    /** Who we are, once we were let in. */
    get user(): string;
    get device(): string;
    /** Connects, and stays connected until `close()`. Resolves with the first welcome; rejects when that will not come. */
    connect(): Promise<void>;
    /** Leaves: the session ends on the server, too. */
    close(): void;
    /** Does not wait for the next try. */
    reconnectNow(): void;
    /** Says something and returns the answer; rejects with a `TurnstoneError`. */
    request<Name extends keyof Requests>(name: Name, data: Requests[Name][0], options?: RequestOptions): Promise<Requests[Name][1]>;
    /** A token in place of the one before, of the same user: for apps without `getToken`, on `auth:expiring`. */
    refresh(token: string): Promise<void>;
    protected fetch(path: string, init: RequestInit): Promise<Response>;
}
/** 128 random bits: also where a page is no secure context. */
declare function randomName(): string;
/** `reconnecting`: media was there, and is not; `ended` is the last one. */
export type CallState = "ringing" | "connecting" | "connected" | "reconnecting" | "ended";
export interface CallEnd {
    reason: EndReason;
    /** The user who ended it; null for the server, or for a call that was only found to be over. */
    endedBy: string | null;
    durationMs: number;
}
export interface CallEvents {
    state: CallState;
    /** A track of the other side. */
    track: RTCTrackEvent;
    /** The other side's signaling went away, or came back; media may not care. */
    peer: "reconnecting" | "back";
    ended: CallEnd;
    /** Something that did not end the call, such as a description that could not be used. */
    trouble: unknown;
}
export interface MediaOptions {
    /** What the other side is to see and hear. */
    stream?: MediaStream;
    /** For `new RTCPeerConnection`, beside its ICE servers, such as `iceTransportPolicy: "relay"`. */
    rtc?: RTCConfiguration;
    /** Chooses among the servers that the call got. */
    iceServers?: (servers: IceServer[]) => IceServer[];
    /** Sees the connection before it is negotiated: the place for data channels and transceivers. */
    prepare?: (connection: RTCPeerConnection) => void;
}
/** What a call is made of. */
interface CallFacts {
    id: string;
    peer: string;
    type: CallType;
    role: Role;
    polite: boolean;
    data?: unknown;
    name?: string | null;
}
/** Events that say which call they are of, and that matter to it. */
declare const CALL_PUSHES: readonly ["webrtc:offer", "webrtc:answer", "webrtc:ice-candidate", "call:accepted", "call:ice-servers", "call:restart", "call:peer-state", "call:end"];
type CallPush = {
    [Name in (typeof CALL_PUSHES)[number]]: [Name, Pushes[Name]];
}[(typeof CALL_PUSHES)[number]];
export declare class Call extends Emitter<CallEvents> {
    #private;
    readonly id: string;
    /** The other user. */
    readonly peer: string;
    readonly type: CallType;
    readonly role: Role;
    /** What the caller sent along. */
    readonly data: unknown;
    /** The caller's name by its token. */
    readonly name: string | null;
    constructor(session: Session, facts: CallFacts);
    get state(): CallState;
    /** How it ended. */
    get end(): CallEnd | undefined;
    /** The connection behind it, from the moment that there is one. */
    get connection(): RTCPeerConnection | undefined;
    /** Takes an incoming call. */
    accept(media?: MediaOptions): Promise<void>;
    /** Does not take an incoming call. */
    reject(reason?: "busy"): Promise<void>;
    /** Ends it. Here it is over at once; the other side hears of it as soon as the server does. */
    hangUp(reason?: OwnEndReason): Promise<void>;
    /** Silences what we send, or lets it be heard again; also tracks that come later. */
    mute(isMuted?: boolean, kind?: "audio" | "video"): void;
    /** Sends another track in place of the one of its kind; null sends none. */
    replaceTrack(track: MediaStreamTrack | null, kind?: string | undefined): Promise<void>;
    /** How it does, since it was asked last. */
    stats(): Promise<Digest>;
    /** Looks for a new way between both sides; happens by itself whenever it is needed. */
    restartIce(): void;
}
export interface PresenceEvents {
    change: {
        user: string;
        presence: Presence;
    };
}
export declare class PresenceStore extends Emitter<PresenceEvents> {
    #private;
    constructor(session: Session);
    /** What was heard last of a user. */
    get(user: string): Presence | undefined;
    /** Everybody that something was heard of. */
    get users(): ReadonlyMap<string, Presence>;
    /** Hears of these users from now on, and learns how they are. */
    watch(users: string[]): Promise<void>;
    /** Hears of nobody that it was asked for; those in rooms of ours go on. */
    unwatch(): Promise<void>;
    /** Says how we are ourselves. */
    set(own: Requests["presence:set"][0]): Promise<void>;
}
export interface RoomEvents {
    joined: Member;
    left: Member;
    /** Who is there has changed, by whichever way. */
    participants: Member[];
    message: Message;
    typing: {
        from: string;
        isTyping: boolean;
    };
    event: {
        from: string | null;
        name: string;
        data: unknown;
    };
    /** We are in it no more: it was left, or closed by the server. */
    closed: undefined;
}
export interface MessageOptions {
    store?: boolean;
    thread?: string;
    attachments?: Attachment[];
    client_ref?: string;
}
export type JoinOptions = {
    role?: string;
    info?: unknown;
};
export declare class Room extends Emitter<RoomEvents> {
    #private;
    readonly name: string;
    constructor(session: Session, name: string, options: JoinOptions);
    /** Everybody in it, each device by itself; ours, too. */
    get participants(): Member[];
    /** Says something to everybody in it. Resolves when the server has it; with `store`, on its disk. */
    send(body: unknown, options?: MessageOptions): Promise<{
        id: string;
        seq: number;
        at: number;
    }>;
    /** Older messages, the latest last. */
    history(options?: {
        before?: number;
        limit?: number;
        thread?: string;
    }): Promise<{
        messages: Message[];
        more: boolean;
    }>;
    /** We have read up to here. */
    read(seq: number): Promise<{
        [x: string]: never;
    }>;
    /** Stops by itself after 3 s. */
    typing(isTyping?: boolean): void;
    /** An event of the app's own, which nobody keeps. */
    event(name: string, data?: unknown, kind?: "coalesce" | "droppable"): Promise<{
        [x: string]: never;
    }>;
    leave(): Promise<void>;
    /** Joins it, or joins it again in a new session. */
    enter(): Promise<void>;
}
export type CallOptions = MediaOptions & {
    /** By the stream's tracks where it is left out. */
    type?: CallType;
    /** For the callee to see while it rings. */
    data?: unknown;
    /** How long it rings. */
    timeoutMs?: number;
};
/** A client that connects when it is told to: `connect()`. */
export declare function createClient(options: SessionOptions): Client;
export declare class Client extends Session {
    #private;
    readonly presence: PresenceStore;
    /** Calls that have not ended. */
    get calls(): Call[];
    /**
     * Calls a user. Resolves when it rings, or when the same user called first and both calls became one; rejects with
     * the reason, such as `offline` or `busy`.
     */
    call(user: string, { type, data, timeoutMs, ...media }?: CallOptions): Promise<Call>;
    /** Joins a room, and stays in it over reconnects. */
    join(name: string, options?: JoinOptions): Promise<Room>;
    /** ICE servers for connections of the app's own; a call gets its own. Kept until they are about to end. */
    iceServers(): Promise<IceServer[]>;
    /** Hangs up, and leaves. */
    close(): void;
}
export {};
