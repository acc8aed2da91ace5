// Asks one STUN or TURN URL at a time for what it is there for: candidates (RFC 8445 section 5.1.1).

import type { IceServer } from "turnstone";
import { meaning, silence } from "./ice_errors";
import type { Meaning, Way } from "./ice_errors";

/** One thing to try. */
export interface Probe {
  /** As people see it: a URL, or what else is asked. */
  label: string;
  /** The type of candidate that it is there for (RFC 8445 section 5.1.1). */
  wants: "host" | "srflx" | "relay";
  way: Way;
  server: RTCIceServer | undefined;
}

export interface Outcome {
  /** `direct`: it answered, and sees the address that this device has itself. */
  state: "worked" | "direct" | "failed";
  ms: number;
  /** Addresses with ports, and what else there is to tell of them. */
  found: string[];
  why?: Meaning;
  /** The browser's own words. */
  detail?: string;
}

/** Browsers repeat a request for some ten seconds. */
const PATIENCE_MS = 15_000;

/** This device itself, and then each URL of these servers. */
export function probes(servers: IceServer[]): Probe[] {
  const all: Probe[] = [{ label: "this device", wants: "host", way: "udp", server: undefined }];
  for (const { urls, ...credential } of servers) {
    for (const url of urls) {
      const wants = url.startsWith("stun") ? "srflx" : "relay";
      all.push({ label: url, wants, way: wayOf(url), server: { urls: url, ...credential } });
    }
  }
  return all;
}

/** How a URL is reached (RFC 7064, RFC 7065). */
export function wayOf(url: string): Way {
  if (/^(turns|stuns):/.test(url)) return "tls";
  return /[?&]transport=tcp\b/.test(url) ? "tcp" : "udp";
}

/** Gathers for one probe until its candidate is there, or the browser has given up. */
export async function run(probe: Probe, signal: AbortSignal): Promise<Outcome> {
  const started = performance.now();
  const iceTransportPolicy = probe.wants === "relay" ? "relay" : "all";
  let connection: RTCPeerConnection;
  try {
    connection = new RTCPeerConnection({ iceServers: probe.server ? [probe.server] : [], iceTransportPolicy });
  } catch (error) {
    const why = { what: "The browser does not take this URL.", toDo: "Mend its name or port in the config." };
    return { state: "failed", ms: 0, found: [], why, detail: String(error) };
  }
  const errors: RTCPeerConnectionIceErrorEvent[] = [];
  const found: string[] = [];
  let isComplete = false;
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, PATIENCE_MS);
      signal.addEventListener("abort", () => resolve(), { once: true });
      connection.onicecandidateerror = (event) => errors.push(event);
      connection.onicecandidate = ({ candidate }) => {
        isComplete ||= candidate === null;
        // An active TCP candidate is no address where anybody listens (RFC 6544 section 4.5).
        if (candidate?.type === probe.wants && candidate.tcpType !== "active") found.push(told(candidate));
        // This device may have many addresses; a server gives one.
        if (isComplete || (found.length > 0 && probe.wants !== "host")) {
          clearTimeout(timer);
          resolve();
        }
      };
      connection.createDataChannel("probe");
      connection.setLocalDescription().catch(reject);
    });
  } finally {
    connection.close();
  }
  const ms = performance.now() - started;
  if (found.length > 0) return { state: "worked", ms, found };
  const [error] = errors;
  if (error) {
    const why = meaning(error.errorCode, probe.way);
    return { state: "failed", ms, found, why, detail: `${error.errorCode} ${error.errorText}`.trim() };
  }
  if (isComplete && probe.wants === "srflx") {
    if ("onicecandidateerror" in connection) return { state: "direct", ms, found };
    const why = {
      what: "No other address was found, and this browser does not say why.",
      toDo: "Either there is no NAT between, or no answer came: whether the relay over UDP works tells the two apart.",
    };
    return { state: "failed", ms, found, why };
  }
  const nothing = { what: "This device has no address of use.", toDo: "Is it on a network, and are extensions in the way?" };
  return { state: "failed", ms, found, why: probe.wants === "host" ? nothing : silence(probe.way) };
}

function told({ address, port, protocol, relatedAddress }: RTCIceCandidate): string {
  // Chromium writes the brackets of IPv6 itself.
  const host = address?.includes(":") && !address.startsWith("[") ? `[${address}]` : (address ?? "hidden");
  // Browsers hide the addresses of a device from pages that may not use its camera.
  const hidden = address?.endsWith(".local") ? " (hidden by the browser)" : "";
  return `${protocol} ${host}:${port}${hidden}${relatedAddress && relatedAddress !== "0.0.0.0" ? ` from ${relatedAddress}` : ""}`;
}
