// An RTCPeerConnection without media: descriptions, candidates and states as W3C WebRTC 1.0 has them, with ICE user
// fragments for everything that a way between two sides takes. It is up as soon as each side has heard a candidate of
// the generation that both negotiated last; what goes wrong with networks, a test says.

let fragments = 0;
const task = (then) => setTimeout(then, 0);
const fragmentOf = (description) => /a=ice-ufrag:(\w+)/.exec(description?.sdp ?? "")?.[1];
const refused = (name, message) => Object.assign(new Error(message), { name });

export class FakePeerConnection {
  signalingState = "stable";
  connectionState = "new";
  localDescription = null;
  remoteDescription = null;
  onnegotiationneeded = null;
  onicecandidate = null;
  ontrack = null;
  onconnectionstatechange = null;
  /** What a test looks at. */
  seen = { restarts: 0, rollbacks: 0, configurations: 0 };
  #configuration;
  #transceivers = [];
  #fragment;
  #stable = { local: null, remote: null };
  #isNeeded = false;
  #heard = new Set();
  /** The other side's generation whose way is gone: no late candidate brings that back. */
  #gone = null;
  /** Operations are chained (W3C WebRTC 1.0 section 4.4.1.2). */
  #chain = Promise.resolve();

  constructor(configuration) {
    this.#configuration = configuration;
    this.#fragment = this.#fresh();
  }

  #fresh = () => `f${++fragments}`;

  #chained(step) {
    const done = this.#chain.then(() => new Promise((wake) => task(wake))).then(() => {
      if (this.signalingState === "closed") return new Promise(() => {});
      return step();
    });
    this.#chain = done.catch(() => {});
    return done;
  }

  getConfiguration = () => this.#configuration;
  setConfiguration(configuration) {
    this.seen.configurations += 1;
    this.#configuration = configuration;
  }

  addTransceiver(kind, { direction = "sendrecv" } = {}) {
    const sender = {
      track: null,
      replaceTrack: async (track) => void (sender.track = track),
      setStreams: (...streams) => void (sender.streams = streams),
    };
    const need = () => this.#need();
    const transceiver = {
      sender,
      receiver: { track: { kind } },
      get direction() {
        return direction;
      },
      set direction(wanted) {
        direction = wanted;
        need();
      },
    };
    this.#transceivers.push(transceiver);
    this.#need();
    return transceiver;
  }
  addTrack(track) {
    const { sender } = this.addTransceiver(track.kind);
    sender.track = track;
    return sender;
  }
  getTransceivers = () => [...this.#transceivers];

  #need() {
    this.#isNeeded = true;
    task(() => {
      if (!this.#isNeeded || this.signalingState !== "stable") return;
      this.#isNeeded = false;
      this.onnegotiationneeded?.();
    });
  }

  restartIce() {
    this.seen.restarts += 1;
    this.#fragment = this.#fresh();
    this.#need();
  }

  setLocalDescription(asked) {
    return this.#chained(() => {
      if (asked?.type === "rollback") return this.#rollBack("have-local-offer");
      const isAnswer = this.signalingState === "have-remote-offer";
      const description = { type: isAnswer ? "answer" : "offer", sdp: `v=0\r\na=ice-ufrag:${this.#fragment}\r\n` };
      this.localDescription = description;
      this.#isNeeded = false;
      this.#turn(isAnswer ? "stable" : "have-local-offer");
      const usernameFragment = this.#fragment;
      for (const port of [1, 2]) {
        const candidate = { candidate: `candidate:${port} ${usernameFragment}`, sdpMid: "0", usernameFragment };
        task(() => this.onicecandidate?.({ candidate: { ...candidate, toJSON: () => candidate } }));
      }
      task(() => this.onicecandidate?.({ candidate: null }));
    });
  }

  setRemoteDescription(description) {
    return this.#chained(() => {
      const isOffer = description.type === "offer";
      if (isOffer && this.signalingState === "have-local-offer") this.#rollBack("have-local-offer");
      const wanted = isOffer ? "stable" : "have-local-offer";
      if (this.signalingState !== wanted) throw refused("InvalidStateError", `${description.type} in ${this.signalingState}`);
      const isRestart = fragmentOf(description) !== fragmentOf(this.remoteDescription);
      if (isOffer && this.remoteDescription && isRestart) this.#fragment = this.#fresh();
      const isFirst = !this.remoteDescription;
      this.remoteDescription = description;
      this.#turn(isOffer ? "have-remote-offer" : "stable");
      if (isFirst) task(() => this.ontrack?.({ track: { kind: "audio" }, streams: [] }));
    });
  }

  #rollBack(from) {
    if (this.signalingState !== from) throw refused("InvalidStateError", `rollback in ${this.signalingState}`);
    this.seen.rollbacks += 1;
    this.localDescription = this.#stable.local;
    this.remoteDescription = this.#stable.remote;
    this.#isNeeded = true;
    this.#turn("stable");
  }

  #turn(state) {
    this.signalingState = state;
    if (state !== "stable") return;
    this.#stable = { local: this.localDescription, remote: this.remoteDescription };
    if (this.#isNeeded) this.#need();
    this.#check();
  }

  addIceCandidate(candidate) {
    return this.#chained(() => {
      if (!this.remoteDescription) throw refused("InvalidStateError", "no remote description");
      if (!candidate) return;
      if (candidate.usernameFragment && candidate.usernameFragment !== fragmentOf(this.remoteDescription)) {
        throw refused("OperationError", `a candidate of ${candidate.usernameFragment}`);
      }
      this.#heard.add(fragmentOf(this.remoteDescription));
      this.#check();
    });
  }

  #check() {
    const theirs = fragmentOf(this.remoteDescription);
    if (this.signalingState === "stable" && theirs !== this.#gone && this.#heard.has(theirs)) this.become("connected");
  }

  /** What a test says of the network, or what the two sides have reached. */
  become(connectionState) {
    if (this.connectionState === connectionState || this.signalingState === "closed") return;
    if (connectionState !== "connected") this.#gone = fragmentOf(this.remoteDescription);
    this.connectionState = connectionState;
    task(() => this.onconnectionstatechange?.());
  }

  async getStats() {
    const timestamp = Date.now();
    const pair = { id: "P", type: "candidate-pair", timestamp, localCandidateId: "L", remoteCandidateId: "R" };
    return new Map([
      ["T", { id: "T", type: "transport", selectedCandidatePairId: "P" }],
      ["P", { ...pair, currentRoundTripTime: 0.0123, bytesSent: timestamp, bytesReceived: 2 * timestamp }],
      ["L", { id: "L", type: "local-candidate", candidateType: "relay", relayProtocol: "tls" }],
      ["R", { id: "R", type: "remote-candidate", candidateType: "srflx" }],
      ["A", { id: "A", type: "inbound-rtp", packetsReceived: 90, packetsLost: 10 }],
    ]);
  }

  fragments = () => [fragmentOf(this.localDescription), fragmentOf(this.remoteDescription)];

  close() {
    this.signalingState = "closed";
    this.connectionState = "closed";
  }
}
