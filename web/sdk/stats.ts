// A digest of `RTCPeerConnection.getStats()` (W3C webrtc-stats).

import type { Digest } from "./types";

/** Any of the dictionaries, as far as it is looked at. */
interface Entry {
  id: string;
  type: string;
  timestamp: number;
  [member: string]: unknown;
}

interface Sums {
  at: number;
  received: number;
  sent: number;
  packets: number;
  lost: number;
}

/** Makes digests, each of what has happened since the one before. */
export class Digester {
  #last: Sums | undefined;

  digest(report: RTCStatsReport): Digest {
    const entries = new Map<string, Entry>();
    report.forEach((entry: Entry) => entries.set(entry.id, entry));
    const pair = selectedPair(entries);
    const sums = sum(entries, pair);
    const last = this.#last ?? { ...sums, received: 0, sent: 0, packets: 0, lost: 0 };
    this.#last = sums;
    const seconds = (sums.at - last.at) / 1000;
    // Another pair begins to count at zero.
    const rate = (now: number, before: number) => (seconds > 0 && now >= before ? Math.round(((now - before) * 8) / seconds) : 0);
    const lost = Math.max(0, sums.lost - last.lost);
    const expected = lost + Math.max(0, sums.packets - last.packets);
    const rtt = pair?.currentRoundTripTime;
    const local = entries.get(text(pair?.localCandidateId) ?? "");
    return {
      rtt_ms: typeof rtt === "number" ? Math.round(rtt * 1000) : null,
      in_bps: rate(sums.received, last.received),
      out_bps: rate(sums.sent, last.sent),
      loss: expected > 0 ? lost / expected : 0,
      local: text(local?.candidateType),
      remote: text(entries.get(text(pair?.remoteCandidateId) ?? "")?.candidateType),
      relay_protocol: text(local?.relayProtocol),
    };
  }
}

function selectedPair(entries: Map<string, Entry>): Entry | undefined {
  const all = [...entries.values()];
  const transport = all.find(({ type, selectedCandidatePairId }) => type === "transport" && selectedCandidatePairId);
  const chosen = entries.get(text(transport?.selectedCandidatePairId) ?? "");
  // Firefox says it with the pair itself.
  return chosen ?? all.find(({ type, selected, nominated, state }) => {
    return type === "candidate-pair" && (selected === true || (nominated === true && state === "succeeded"));
  });
}

function sum(entries: Map<string, Entry>, pair: Entry | undefined): Sums {
  const inbound = [...entries.values()].filter(({ type }) => type === "inbound-rtp");
  const total = (member: string) => inbound.reduce((sum, entry) => sum + number(entry[member]), 0);
  return {
    at: pair?.timestamp ?? 0,
    received: number(pair?.bytesReceived),
    sent: number(pair?.bytesSent),
    packets: total("packetsReceived"),
    lost: total("packetsLost"),
  };
}

function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
