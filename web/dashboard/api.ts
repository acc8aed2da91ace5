/** What the daemon answers, as far as this page looks at it: /openapi.json tells the rest. */
import type { EndReason } from "../sdk/types";

/** Application payload. */
export interface Traffic {
  bytes_from_client: number;
  bytes_from_peer: number;
  packets_from_client: number;
  packets_from_peer: number;
}

/** A series has an element for each sample from the first to the last; numbers of samples are about seconds since 1970. */
export interface Figures {
  first_sample: number;
  last_sample: number;
  doors: { door: string; bytes_in_bps: number[]; bytes_out_bps: number[] }[];
  packets_in_pps: number[];
  packets_out_pps: number[];
  drops: { reason: string; title: string; per_s: number[] }[];
  capacity: Capacity;
  failures: Failure[];
  health: Health;
}

export type Gauge = { now: number | null; max: number | null };
export type Capacity = Record<"sessions" | "ports" | "descriptors" | "bandwidth_bps", Gauge>;

export interface Failure {
  kind: string;
  reason: string;
  title: string;
  what_to_do: string;
  last_minute: number;
  total: number;
}

export interface Health {
  state: "starting" | "serving" | "draining";
  ready: boolean;
  reasons: { code: string; message: string }[];
  draining: boolean;
  workers: { count: number; stalled: number[] };
  tls: { all_current: boolean } | null;
  certificates: { name: string | null; fault: string | null; expires_at: string; expires_in_s: number }[];
  storage: { ok: boolean; message: string | null; bytes_on_disk: number | null } | null;
  reload: { successful: boolean; last_success_at: string };
}

export interface Status {
  version: string;
  started_at: string;
  uptime_s: number;
  connections: number;
  traffic: Pick<Traffic, "bytes_from_client" | "bytes_from_peer">;
  signaling: { enabled: boolean; connections: number; sessions: number; rooms: number; calls: number };
}

export interface Session {
  id: string;
  subject: string;
  label: string | null;
  client: string;
  transport: string;
  age_s: number;
  bytes_from_client: number;
  bytes_from_peer: number;
  rate_from_client_bps: number;
  rate_from_peer_bps: number;
}

export interface Sessions {
  sessions: Session[];
  total: number;
  complete: boolean;
}

export interface UsageRow extends Traffic {
  start?: string;
  subject?: string | null;
  door?: string | null;
  /** The rest: its period had no room for more names. */
  overflow: boolean;
}

export interface Usage {
  from: string;
  to: string;
  partial: boolean;
  /** Rows that were left out. */
  more: number;
  total: Traffic;
  usage: UsageRow[];
}

export interface CallParty {
  user: string;
}

export interface Call {
  id: string;
  state: "ringing" | "connecting" | "active" | "reconnecting" | "ended" | null;
  caller: CallParty | null;
  callee: CallParty | { room: string } | null;
  room?: string | null;
  call_type: string | null;
  started_at: string;
  answered_at: string | null;
  ended_at?: string | null;
  reason?: EndReason | null;
  duration_ms?: number | null;
  total: Traffic;
}

export interface Calls {
  calls: Call[];
}

export interface Login {
  csrf: string;
  expires_at: string;
}

/** An answer that is none, in words: what is wrong, and what to do. */
export class Problem extends Error {
  override readonly name = "Problem";
  /** 0: there was no answer. */
  readonly status: number;
  readonly code: string;
  readonly hint: string;

  constructor(status: number, code: string, message: string, hint: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }

  /** Nobody answers, or a proxy says so in the daemon's place. */
  get isLost(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 504;
  }

  get isLoggedOut(): boolean {
    return this.status === 401;
  }
}

/** How long an answer may take, in milliseconds. */
const PATIENCE = 5000;

/** What every change by a cookie repeats: told at the login, and by the daemon alone. */
let csrf = "";

export const get = <Answer>(path: string): Promise<Answer> => ask<Answer>("GET", path);

/** Begins a session that the browser's cookie stands for. */
export async function logIn(key: string): Promise<Login> {
  return remember(await ask<Login>("POST", "/v1/login", { key }));
}

/** The session of the cookie, if there is one: so that a reload of the page keeps working. */
export async function resume(): Promise<Login> {
  return remember(await get<Login>("/v1/login"));
}

export async function logOut(): Promise<void> {
  await end("/v1/login");
  csrf = "";
}

export const endSession = (id: string): Promise<void> => end(`/v1/sessions/${encodeURIComponent(id)}`);

/** A login in another tab may have taken the place of this one's: then what belongs to it is asked for once. */
async function end(path: string): Promise<void> {
  const once = () => ask<void>("DELETE", path);
  try {
    await once();
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== "csrf") throw error;
    await resume();
    await once();
  }
}

function remember(login: Login): Login {
  csrf = login.csrf;
  return login;
}

async function ask<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
  const headers: Record<string, string> = {};
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const sent = body === undefined ? null : JSON.stringify(body);
  let response: Response, text: string;
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    response = await fetch(path, { method, headers, body: sent, signal, cache: "no-store" });
    text = await response.text();
  } catch {
    throw new Problem(0, "no_answer", "the daemon does not answer", "`systemctl status turnstone` says whether it runs");
  }
  const answer = json(text);
  if (response.ok) return answer as Answer;
  throw problem(response.status, answer);
}

function json(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function problem(status: number, answer: unknown): Problem {
  const told = (typeof answer === "object" && answer !== null ? answer : {}) as Record<string, unknown>;
  const word = (name: string, otherwise: string) => (typeof told[name] === "string" ? told[name] : otherwise);
  const wait = typeof told["retry_after_ms"] === "number" ? `try again in ${Math.ceil(told["retry_after_ms"] / 1000)} s` : "";
  const hint = [word("hint", ""), wait].filter(Boolean).join("; ");
  return new Problem(status, word("code", "unknown"), word("message", `the answer was status ${status}`), hint);
}
