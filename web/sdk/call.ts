// A call between two users: its state, its media, and how it finds its way back when a network or the server was away.

import { Emitter } from "./emitter";
import { TurnstoneError } from "./errors";
import { Negotiation } from "./negotiation";
import type { RequestOptions, Session } from "./session";
import { Digester } from "./stats";
import type {
  CallGrant, CallType, Candidate, Digest, EndReason, IceGrant, IceServer, LiveCall, OwnEndReason, Pushes, Requests, Role,
} from "./types";

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
export interface CallFacts {
  id: string;
  peer: string;
  type: CallType;
  role: Role;
  polite: boolean;
  data?: unknown;
  name?: string | null;
}

/** Events that say which call they are of, and that matter to it. */
export const CALL_PUSHES = [
  "webrtc:offer", "webrtc:answer", "webrtc:ice-candidate", "call:accepted", "call:ice-servers", "call:restart",
  "call:peer-state", "call:end",
] as const;

export type CallPush = { [Name in (typeof CALL_PUSHES)[number]]: [Name, Pushes[Name]] }[(typeof CALL_PUSHES)[number]];

/** How `disconnected` may last until a new way is looked for. */
const DISCONNECTED_MS = 3_000;
/** The polite side waits this much longer: most often the other side has begun by then. */
const POLITE_MS = 2_000;
/** An offer that nobody answered is made again. */
const ANSWER_MS = 10_000;
/** Two reasons for a restart within this time are one. */
const RESTART_MS = 1_000;
/** Without media for so long, the call is over: the server gives a lost side as much. */
const GIVE_UP_MS = 60_000;
const STATS_MS = 10_000;
/** Candidates in one event, at most. */
const BATCH_MAX = 32;
/** How often something is said again that the server had no time for. */
const TRIES = 5;
/** Signals are worth being sent again for as long as the call waits for them. */
const SIGNAL: RequestOptions = { timeoutMs: GIVE_UP_MS };

type Timer = "restart" | "answer" | "giveUp" | "stats";

export class Call extends Emitter<CallEvents> {
  readonly id: string;
  /** The other user. */
  readonly peer: string;
  readonly type: CallType;
  readonly role: Role;
  /** What the caller sent along. */
  readonly data: unknown;
  /** The caller's name by its token. */
  readonly name: string | null;
  readonly #session: Session;
  readonly #isPolite: boolean;
  readonly #digester = new Digester();
  /** Of what the server is told, which is about other times than what the app asks for. */
  readonly #reports = new Digester();
  readonly #timers = new Map<Timer, ReturnType<typeof setTimeout>>();
  #state: CallState = "ringing";
  #end: CallEnd | undefined;
  #pc: RTCPeerConnection | undefined;
  #negotiation: Negotiation | undefined;
  #media: MediaOptions = {};
  #wasConnected = false;
  /** When it rang no more. */
  #takenAt: number | undefined;
  #restartedAt = 0;
  /** A restart that waits for signaling. */
  #isDue = false;
  #gathered: [Candidate, number][] = [];
  #isSending = false;
  #isAccepting = false;
  /** Kinds of tracks that are silenced. */
  readonly #muted = new Set<string>();

  constructor(session: Session, facts: CallFacts) {
    super();
    this.#session = session;
    this.id = facts.id;
    this.peer = facts.peer;
    this.type = facts.type;
    this.role = facts.role;
    this.data = facts.data;
    this.name = facts.name ?? null;
    this.#isPolite = facts.polite;
  }

  get state(): CallState {
    return this.#state;
  }

  /** How it ended. */
  get end(): CallEnd | undefined {
    return this.#end;
  }

  /** The connection behind it, from the moment that there is one. */
  get connection(): RTCPeerConnection | undefined {
    return this.#pc;
  }

  /** Takes an incoming call. */
  async accept(media: MediaOptions = {}): Promise<void> {
    if (this.role !== "callee" || this.#state !== "ringing") {
      throw new TurnstoneError("wrong_state", "only a call that comes in and rings is accepted");
    }
    this.#isAccepting = true;
    const begin = (grant: CallGrant) => {
      if (this.#state === "ended") throw new TurnstoneError("ended", "it was over before it was accepted");
      this.begin(grant, media);
    };
    try {
      await this.#session.ask("call:accepted", { call_id: this.id }, begin, SIGNAL);
    } catch (error) {
      const { code } = error as TurnstoneError;
      if (code === "ended" || code === "no_call") this.over("lost");
      if (code === "answered_elsewhere") this.over(code);
      throw error;
    } finally {
      this.#isAccepting = false;
    }
  }

  /** Does not take an incoming call. */
  async reject(reason?: "busy"): Promise<void> {
    if (this.#state !== "ringing") return;
    this.over(reason ?? "rejected", this.#session.user);
    // What the server takes as accepted rings no more, and can only be ended.
    const verb = this.#isAccepting ? "call:end" : "call:rejected";
    await this.#say(verb, reason ? { call_id: this.id, reason } : { call_id: this.id });
  }

  /** Ends it. Here it is over at once; the other side hears of it as soon as the server does. */
  async hangUp(reason?: OwnEndReason): Promise<void> {
    if (this.#state === "ended") return;
    this.over(reason ?? (this.#state === "ringing" ? "cancelled" : "hangup"), this.#session.user);
    await this.#say("call:end", reason ? { call_id: this.id, reason } : { call_id: this.id });
  }

  /** Silences what we send, or lets it be heard again; also tracks that come later. */
  mute(isMuted = true, kind?: "audio" | "video"): void {
    for (const one of kind ? [kind] : ["audio", "video"]) this.#muted[isMuted ? "add" : "delete"](one);
    for (const { track } of this.#senders(kind)) if (track) track.enabled = !isMuted;
  }

  /** Sends another track in place of the one of its kind; null sends none. */
  async replaceTrack(track: MediaStreamTrack | null, kind = track?.kind): Promise<void> {
    const transceiver = this.#transceivers(kind).find(({ direction }) => direction !== "stopped");
    const streams = this.#media.stream ? [this.#media.stream] : [];
    if (track) this.#hushed(track);
    if (!transceiver) {
      if (track) this.#pc?.addTrack(track, ...streams);
      return;
    }
    await transceiver.sender.replaceTrack(track);
    // One that only hears does not send its track by itself (W3C WebRTC 1.0, section 5.4).
    const { direction } = transceiver;
    if (!track || (direction !== "recvonly" && direction !== "inactive")) return;
    transceiver.sender.setStreams(...streams);
    transceiver.direction = direction === "recvonly" ? "sendrecv" : "sendonly";
  }

  /** How it does, since it was asked last. */
  async stats(): Promise<Digest> {
    return this.#digest(this.#digester);
  }

  /** Looks for a new way between both sides; happens by itself whenever it is needed. */
  restartIce(): void {
    if (this.#state === "ended" || !this.#negotiation || Date.now() < this.#restartedAt + RESTART_MS) return;
    this.#isDue = this.#session.state !== "connected";
    if (!this.#isDue) void this.#restart();
  }

  /** @internal Begins media. A call that cannot have any is ended, and nobody rings for it. */
  begin(grant: IceGrant, media: MediaOptions): void {
    if (this.#pc || this.#state === "ended") return;
    try {
      this.#begin(grant, media);
    } catch (error) {
      this.hangUp("media_failed").catch(() => {});
      throw error;
    }
  }

  #begin({ ice_servers }: IceGrant, media: MediaOptions): void {
    this.#media = media;
    const pc = new this.#session.PeerConnection(this.#configuration(ice_servers));
    this.#pc = pc;
    this.#negotiation = new Negotiation(pc, this.#isPolite, this.role === "caller", {
      description: (description, neg) => {
        if (description.type === "offer") {
          this.#after("answer", ANSWER_MS, () => this.#answerIsMissing());
          this.#signal("webrtc:offer", { call_id: this.id, offer: description, neg });
        } else {
          this.#signal("webrtc:answer", { call_id: this.id, answer: description, neg });
        }
      },
      candidate: (candidate, neg) => {
        this.#gathered.push([candidate, neg]);
        void this.#sendCandidates();
      },
      failed: (error) => this.emit("trouble", error),
    });
    pc.ontrack = (event) => this.emit("track", event);
    pc.onconnectionstatechange = () => this.#connectionChanged();
    for (const track of media.stream?.getTracks() ?? []) pc.addTrack(this.#hushed(track), media.stream as MediaStream);
    media.prepare?.(pc);
    if (this.role === "caller" && pc.getTransceivers().length === 0 && !media.prepare) {
      pc.addTransceiver("audio", { direction: "recvonly" });
      if (this.type === "video") pc.addTransceiver("video", { direction: "recvonly" });
    }
    if (this.role === "callee") this.#enter("connecting");
  }

  /** @internal An event of this call. */
  hear(...[name, data]: CallPush): void {
    switch (name) {
      case "webrtc:offer":
        return this.#negotiation?.describe(data.offer, data.neg);
      case "webrtc:answer":
        return this.#negotiation?.describe(data.answer, data.neg);
      case "webrtc:ice-candidate":
        return this.#negotiation?.candidate(data.candidate);
      case "call:accepted":
        if (this.#state === "ringing") this.#enter("connecting");
        return;
      case "call:ice-servers":
      case "call:restart":
        this.#pc?.setConfiguration(this.#configuration(data.ice_servers));
        return;
      case "call:peer-state":
        this.emit("peer", data.state);
        if (data.state === "back") this.#lookForWay();
        return;
      case "call:end":
        this.over(data.reason, data.ended_by, data.duration_ms);
    }
  }

  /** @internal Signaling is back: either nothing was missed, or this is how the server sees the call. */
  resume(live?: LiveCall): void {
    if (live && live.state !== "ringing" && this.#state === "ringing") this.#enter("connecting");
    if (this.#isDue) return this.restartIce();
    // Nobody is there to hear an offer; `call:peer-state` will say when.
    if (live?.state === "reconnecting") return;
    // A ringing call that the server kept has our offer, unless the server was started anew.
    if (this.#state === "ringing" && !live) return;
    this.#lookForWay();
  }

  /** @internal It is over, whoever said so; without the server's word for how long it was, by our own clock. */
  over(reason: EndReason, endedBy: string | null = null, durationMs = Date.now() - (this.#takenAt ?? Date.now())): void {
    if (this.#state === "ended") return;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#pc?.close();
    this.#end = { reason, endedBy, durationMs };
    this.#enter("ended");
    this.emit("ended", this.#end);
  }

  #enter(state: CallState): void {
    if (state === this.#state || this.#state === "ended") return;
    if (this.#state === "ringing") this.#takenAt = Date.now();
    this.#state = state;
    this.emit("state", state);
  }

  #connectionChanged(): void {
    const polite = this.#isPolite ? POLITE_MS : 0;
    switch (this.#pc?.connectionState) {
      case "connected":
        this.#connected();
        break;
      case "disconnected":
        this.#lostWay(DISCONNECTED_MS + polite);
        break;
      case "failed":
        this.#lostWay(polite);
        break;
    }
  }

  #connected(): void {
    for (const timer of ["restart", "giveUp"] as const) this.#cancel(timer);
    this.#enter("connected");
    if (this.#wasConnected) return;
    this.#wasConnected = true;
    this.#signal("call:connected", { call_id: this.id });
    this.#report();
  }

  /** There is no way between the two sides. */
  #lostWay(wait: number): void {
    if (this.#wasConnected) {
      this.#enter("reconnecting");
      if (!this.#timers.has("giveUp")) this.#after("giveUp", GIVE_UP_MS, () => void this.hangUp("ice_failed").catch(() => {}));
    }
    this.#after("restart", wait, () => this.restartIce());
  }

  /** One side begins at once; the other only when it hears nothing of that. */
  #lookForWay(): void {
    if (!this.#isPolite) return this.restartIce();
    const heard = this.#negotiation?.heard;
    this.#after("restart", DISCONNECTED_MS, () => {
      if (heard === this.#negotiation?.heard) this.restartIce();
    });
  }

  #answerIsMissing(): void {
    if (this.#state !== "ringing" && this.#pc?.signalingState === "have-local-offer") this.restartIce();
  }

  async #restart(): Promise<void> {
    this.#restartedAt = Date.now();
    // While it rings the servers of the start are as good.
    if (this.#state !== "ringing") {
      try {
        const { ice_servers } = await this.#session.request("call:restart", { call_id: this.id });
        this.#pc?.setConfiguration(this.#configuration(ice_servers));
      } catch (error) {
        const { code } = error as TurnstoneError;
        if (code === "ended" || code === "no_call") return this.over("lost");
        this.#isDue = code === "timeout";
        if (this.#isDue) return;
        // Even the servers of before may do.
      }
    }
    if (this.#pc?.signalingState !== "closed") this.#negotiation?.restart();
  }

  #configuration(servers: IceServer[]): RTCConfiguration {
    const { rtc, iceServers } = this.#media;
    return { ...rtc, iceServers: iceServers ? iceServers(servers) : servers };
  }

  /** Says something that the call does not wait for; it is sent again where the server had no time for it. */
  #signal<Name extends keyof Requests>(name: Name, data: Requests[Name][0]): void {
    this.#say(name, data).catch((error: TurnstoneError) => {
      if (error.code === "ended" || error.code === "no_call") this.over("lost");
      else if (this.#state !== "ended") this.emit("trouble", error);
    });
  }

  async #say<Name extends keyof Requests>(name: Name, data: Requests[Name][0]): Promise<void> {
    for (let tries = TRIES; ; tries -= 1) {
      try {
        await this.#session.request(name, data, SIGNAL);
        return;
      } catch (error) {
        const { code, retryAfterMs } = error as TurnstoneError;
        if (code !== "rate_limited" || retryAfterMs === undefined || tries === 0) throw error;
        await new Promise((wake) => setTimeout(wake, retryAfterMs));
      }
    }
  }

  /** Those that come while others are on their way travel together. */
  async #sendCandidates(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    while (this.#gathered.length > 0 && this.#state !== "ended") {
      const neg = this.#gathered[0]?.[1] ?? 0;
      const other = this.#gathered.findIndex(([, of]) => of !== neg);
      const count = Math.min(BATCH_MAX, other < 0 ? BATCH_MAX : other);
      const candidates = this.#gathered.splice(0, count).map(([candidate]) => candidate);
      await this.#say("webrtc:ice-candidate", { call_id: this.id, candidates, neg }).catch((error: unknown) => {
        if (this.#state !== "ended") this.emit("trouble", error);
      });
    }
    this.#isSending = false;
  }

  #report(): void {
    this.#after("stats", STATS_MS, () => {
      this.#report();
      if (this.#state !== "connected") return;
      const tell = (digest: Digest) => this.#session.request("call:stats", { call_id: this.id, digest }, { once: true });
      this.#digest(this.#reports).then(tell).catch(() => {});
    });
  }

  async #digest(digester: Digester): Promise<Digest> {
    if (!this.#pc) throw new TurnstoneError("wrong_state", "there is no media yet");
    return digester.digest(await this.#pc.getStats());
  }

  #after(timer: Timer, ms: number, then: () => void): void {
    this.#cancel(timer);
    this.#timers.set(timer, setTimeout(() => {
      this.#timers.delete(timer);
      then();
    }, ms));
  }

  #cancel(timer: Timer): void {
    clearTimeout(this.#timers.get(timer));
    this.#timers.delete(timer);
  }

  #transceivers(kind: string | undefined): RTCRtpTransceiver[] {
    const all = this.#pc?.getTransceivers() ?? [];
    return all.filter(({ receiver }) => kind === undefined || receiver.track.kind === kind);
  }

  #hushed(track: MediaStreamTrack): MediaStreamTrack {
    if (this.#muted.has(track.kind)) track.enabled = false;
    return track;
  }

  #senders(kind: string | undefined): RTCRtpSender[] {
    return this.#transceivers(kind).map(({ sender }) => sender);
  }
}
