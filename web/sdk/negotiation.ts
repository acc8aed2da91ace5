// Perfect negotiation (W3C WebRTC 1.0 section 10.7) on one RTCPeerConnection: both sides may offer at any time, and of
// two offers that meet the impolite side's stands.
//
// `neg` counts negotiations over both sides: an offer has a number above all that were seen, its answer and the
// candidates behind them have the same. So an answer to an offer that was taken back is told from the one that counts.

import type { Candidate, Description } from "./types";

/** What is to be sent, in this order. */
export interface Outbound {
  description(description: Description, neg: number): void;
  candidate(candidate: Candidate, neg: number): void;
  /** A description that could not be used, ours or theirs. */
  failed(error: unknown): void;
}

/** Candidates that may wait for the description that they belong to. */
const EARLY_MAX = 128;

export class Negotiation {
  readonly #pc: RTCPeerConnection;
  readonly #isPolite: boolean;
  readonly #out: Outbound;
  /** The caller offers first: what the callee adds before it has heard that offer goes into its answer. */
  #mayOffer: boolean;
  #neg = 0;
  #isMakingOffer = false;
  #isIgnoringOffer = false;
  #isSettingAnswer = false;
  /** What was heard is done one after another. */
  #work: Promise<void> = Promise.resolve();
  #early: Candidate[] = [];
  /** Offers that came. */
  heard = 0;

  constructor(pc: RTCPeerConnection, isPolite: boolean, isCaller: boolean, out: Outbound) {
    this.#pc = pc;
    this.#isPolite = isPolite;
    this.#mayOffer = isCaller;
    this.#out = out;
    pc.onnegotiationneeded = () => void this.#offer();
    pc.onicecandidate = ({ candidate }) => {
      // The end of candidates is left out: clients of other make stumble over it, and none needs it.
      if (candidate?.candidate) out.candidate(candidate.toJSON() as Candidate, this.#neg);
    };
  }

  /** Hears a description of the other side. */
  describe(description: Description, neg: number | undefined): void {
    this.#then(() => this.#describe(description, neg));
  }

  /** Hears a candidate of the other side. */
  candidate(candidate: Candidate | null): void {
    this.#then(() => this.#candidate(candidate));
  }

  /** Finds new ways between the two sides (RFC 8445 section 2.4). An offer that nobody answered is taken back first. */
  restart(): void {
    this.#then(async () => {
      const pc = this.#pc;
      if (pc.signalingState === "have-local-offer") await pc.setLocalDescription({ type: "rollback" });
      pc.restartIce();
    });
  }

  #then(step: () => Promise<void>): void {
    this.#work = this.#work.then(step).catch((error: unknown) => {
      if (this.#pc.signalingState !== "closed") this.#out.failed(error);
    });
  }

  async #offer(): Promise<void> {
    if (!this.#mayOffer) return;
    const neg = ++this.#neg;
    try {
      this.#isMakingOffer = true;
      await this.#pc.setLocalDescription();
      this.#tell(neg);
    } catch (error) {
      if (this.#pc.signalingState !== "closed") this.#out.failed(error);
    } finally {
      this.#isMakingOffer = false;
    }
  }

  async #describe(description: Description, neg: number | undefined): Promise<void> {
    const pc = this.#pc;
    const isOffer = description.type === "offer";
    const isReady = !this.#isMakingOffer && (pc.signalingState === "stable" || this.#isSettingAnswer);
    this.#isIgnoringOffer = isOffer && !this.#isPolite && !isReady;
    if (this.#isIgnoringOffer || (!isOffer && this.#isStale(neg))) return;
    if (isOffer) this.heard += 1;
    this.#neg = Math.max(this.#neg, neg ?? 0);
    this.#isSettingAnswer = !isOffer;
    try {
      // A polite side's own offer is rolled back by this.
      await pc.setRemoteDescription(description as RTCSessionDescriptionInit);
    } finally {
      this.#isSettingAnswer = false;
    }
    if (isOffer) {
      this.#mayOffer = true;
      await pc.setLocalDescription();
      this.#tell(this.#neg);
    }
    for (const candidate of this.#early.splice(0)) await this.#candidate(candidate);
  }

  /** An answer to nothing, or to an offer that is no more. */
  #isStale(neg: number | undefined): boolean {
    return this.#pc.signalingState !== "have-local-offer" || (neg !== undefined && neg !== this.#neg);
  }

  async #candidate(candidate: Candidate | null): Promise<void> {
    if (!this.#pc.remoteDescription) {
      if (candidate && this.#early.length < EARLY_MAX) this.#early.push(candidate);
      return;
    }
    try {
      await this.#pc.addIceCandidate(candidate);
    } catch (error) {
      // It belongs to the offer that was ignored.
      if (!this.#isIgnoringOffer) throw error;
    }
  }

  #tell(neg: number): void {
    const description = this.#pc.localDescription;
    if (description) this.#out.description({ type: description.type, sdp: description.sdp }, neg);
  }
}
