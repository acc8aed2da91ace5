// One participant: signaling, at most one call, its media and its figures. The page only shows what is in here.

import { createClient } from "turnstone";
import type { Call, Client, Digest, IceServer, SessionState, TurnstoneError } from "turnstone";
import { wayOf } from "./ice_check";
import type { Way } from "./ice_errors";
import { open } from "./media";
import type { Media, Picture } from "./media";
import { CALL, END, SESSION, TO_DO } from "./words";

/** How a call is to be made. */
export interface Wishes {
  relayOnly: boolean;
  way: Way | "any";
  picture: Picture;
}

/** One second of a call. */
export interface Sample extends Digest {
  framesDecoded: number;
  pair: string | undefined;
}

export interface Note {
  at: Date;
  text: string;
  isBad: boolean;
}

const SAMPLES_MAX = 60;
const NOTES_MAX = 40;

export class Line {
  readonly client: Client;
  call: Call | undefined;
  incoming: Call | undefined;
  remote: MediaStream | undefined;
  media: Media | undefined;
  samples: Sample[] = [];
  /** The newest first. */
  notes: Note[] = [];
  trouble: string | undefined;
  isBusy = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** There was a digest before, so that the next has rates. */
  #isPrimed = false;

  /** `changed` is called whenever there is something new to show. */
  constructor(
    token: string,
    readonly changed: () => void,
  ) {
    this.client = createClient({ token });
    this.client.on("state", (state) => this.#note(`signaling: ${SESSION[state]}`, state === "reconnecting"));
    this.client.on("failed", (error) => this.#failed(error));
    this.client.on("incoming", (call) => this.#incoming(call));
  }

  get state(): SessionState {
    return this.client.state;
  }

  connect(): void {
    // What went wrong is told by `failed`.
    this.client.connect().catch(() => {});
  }

  close(): void {
    this.client.close();
  }

  /** Calls; what goes wrong is shown. */
  start(peer: string, wishes: Wishes): Promise<void> {
    return this.#busy(async () => {
      const media = await this.#media(wishes);
      this.#take(await this.client.call(peer, { type: "video", stream: media.stream, ...wanted(wishes) }));
    });
  }

  accept(wishes: Wishes): Promise<void> {
    return this.#busy(async () => {
      const call = this.incoming;
      if (!call) return;
      const media = await this.#media(wishes);
      // It may have ended while the camera was asked for.
      if (call.state !== "ringing") return;
      this.#take(call);
      await call.accept({ stream: media.stream, ...wanted(wishes) });
    });
  }

  decline(): void {
    this.incoming?.reject().catch(() => {});
    this.incoming = undefined;
    this.changed();
  }

  hangUp(): void {
    this.call?.hangUp().catch(() => {});
  }

  async #busy(work: () => Promise<void>): Promise<void> {
    this.isBusy = true;
    this.trouble = undefined;
    this.changed();
    try {
      await work();
    } catch (error) {
      this.#failed(error as Error);
    } finally {
      this.isBusy = false;
      if (!this.call) this.#silence();
      this.changed();
    }
  }

  async #media({ picture }: Wishes): Promise<Media> {
    this.#silence();
    this.media = await open(picture, this.client.user);
    return this.media;
  }

  #silence(): void {
    this.media?.stop();
    this.media = undefined;
  }

  #incoming(call: Call): void {
    if (this.call || this.incoming) {
      call.reject("busy").catch(() => {});
      return;
    }
    this.incoming = call;
    this.#note("a call comes in");
    call.on("ended", ({ reason }) => {
      if (this.incoming !== call) return;
      this.incoming = undefined;
      this.#note(`the call that came in is over: ${END[reason]}`);
    });
  }

  #take(call: Call): void {
    this.call = call;
    // When both sides call each other, the call that came in is the one that we made. Any other finds us busy.
    if (this.incoming !== call) this.incoming?.reject("busy").catch(() => {});
    this.incoming = undefined;
    this.samples = [];
    this.#isPrimed = false;
    this.remote = new MediaStream();
    call.on("state", (state) => state !== "ended" && this.#note(`call: ${CALL[state]}`, state === "reconnecting"));
    call.on("peer", (state) => this.#note(`the other side's signaling is ${state === "back" ? "back" : "away"}`));
    call.on("trouble", (error) => this.#note(`trouble: ${error}`, true));
    call.on("track", ({ track }) => {
      this.remote?.addTrack(track);
      this.changed();
    });
    call.on("ended", ({ reason, endedBy }) => {
      const who = endedBy === this.client.user ? " (by this side)" : endedBy ? " (by the other side)" : "";
      this.#over(`call ended: ${END[reason]}${who}`);
    });
    this.#timer = setInterval(() => void this.#sample(), 1000);
    if (call.state === "ended") this.#over("call ended");
    this.changed();
  }

  #over(text: string): void {
    clearInterval(this.#timer);
    this.call = undefined;
    this.remote = undefined;
    this.#silence();
    this.#note(text);
  }

  async #sample(): Promise<void> {
    const { call } = this;
    const connection = call?.connection;
    if (!call || !connection) return;
    try {
      const [digest, report] = [await call.stats(), await connection.getStats()];
      if (this.call !== call) return;
      const hasRates = this.#isPrimed;
      this.#isPrimed = digest.local !== null;
      if (!hasRates) return;
      this.samples = [...this.samples, { ...digest, ...look(report) }].slice(-SAMPLES_MAX);
      this.changed();
    } catch {
      // It has just ended.
    }
  }

  #failed(error: Error): void {
    const { code } = error as Partial<TurnstoneError>;
    if (code === "closed") return;
    const camera = error instanceof DOMException;
    const words = camera ? `The camera cannot be used: ${error.message}. Take the synthetic picture.` : error.message;
    this.trouble = (code && TO_DO[code]) ?? words;
    this.#note(code ? `refused: ${code}` : `failed: ${error.message}`, true);
  }

  #note(text: string, isBad = false): void {
    this.notes = [{ at: new Date(), text, isBad }, ...this.notes].slice(0, NOTES_MAX);
    this.changed();
  }
}

function wanted({ relayOnly, way }: Wishes): { rtc: RTCConfiguration; iceServers: (all: IceServer[]) => IceServer[] } {
  const fits = (url: string) => way === "any" || wayOf(url) === way;
  return {
    rtc: { iceTransportPolicy: relayOnly ? "relay" : "all" },
    iceServers: (all) =>
      all.map((server) => ({ ...server, urls: server.urls.filter(fits) })).filter(({ urls }) => urls.length > 0),
  };
}

interface Entry {
  id: string;
  type: string;
  [member: string]: unknown;
}

/** What the digest leaves out: addresses, and whether pictures arrive. */
function look(report: RTCStatsReport): { framesDecoded: number; pair: string | undefined } {
  const entries = new Map<unknown, Entry>();
  report.forEach((entry: Entry) => entries.set(entry.id, entry));
  const all = [...entries.values()];
  const video = all.find(({ type, kind }) => type === "inbound-rtp" && kind === "video");
  const transport = all.find(({ type }) => type === "transport");
  const pair = entries.get(transport?.["selectedCandidatePairId"]);
  const side = (name: string) => {
    const candidate = entries.get(pair?.[name]);
    if (!candidate) return "?";
    const { candidateType, relayProtocol, protocol, address, port } = candidate;
    // To its relay it goes by the one, and from there by UDP.
    const by = candidateType !== "relay" ? ` ${protocol}` : relayProtocol ? ` over ${relayProtocol}` : "";
    const host = String(address || "hidden");
    return `${candidateType}${by} ${host.includes(":") ? `[${host}]` : host}:${port}`;
  };
  return {
    framesDecoded: Number(video?.["framesDecoded"] ?? 0),
    pair: pair && `${side("localCandidateId")} ⇄ ${side("remoteCandidateId")}`,
  };
}
