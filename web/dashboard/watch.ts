/**
 * What this page knows of the daemon, asked for as long as somebody looks: once a second while the page is visible, and
 * not at all while it is hidden. It goes on by itself after an answer did not come.
 */
import { Problem, get, type Calls, type Figures, type Sessions, type Status, type Usage } from "./api";
import { rangeOf, type Range, type RangeName } from "./range";
import { Recent } from "./recent";

export interface Shown {
  range: Range;
  recent: Recent | null;
  figures: Figures | null;
  status: Status | null;
  sessions: Sessions | null;
  calls: Calls | null;
  /** Of `range`, by door and step; live ones are in `recent`. */
  byDoor: Usage | null;
  bySubject: Usage | null;
  /** When answers stopped to come. */
  lostSince: Date | null;
  /** What the daemon did not tell last time, by name; nothing while nobody answers at all. */
  troubles: Partial<Record<SourceName, Problem>>;
}

export type SourceName = "figures" | "status" | "sessions" | "calls" | "byDoor" | "bySubject";

interface Source {
  path: () => string | null;
  /** Milliseconds between two questions. */
  every: () => number;
  take: (answer: never) => void;
  /** When to ask next, by `performance.now()`. */
  due: number;
  isAsking: boolean;
}

const SECOND = 1000;

/** Whose silence is taken for that of the daemon. */
const FIRST: SourceName = "figures";

/** Sessions, ended calls and subjects that are asked for. */
const ROWS = 20;

export class Watch {
  #shown: Shown;
  readonly #changed: (shown: Shown) => void;
  readonly #loggedOut: () => void;
  readonly #sources: Record<SourceName, Source>;
  #timer = 0;
  #lastAnswer = new Date();
  #isStopped = false;

  constructor(changed: (shown: Shown) => void, loggedOut: () => void) {
    this.#changed = changed;
    this.#loggedOut = loggedOut;
    this.#shown = {
      range: rangeOf("live"), recent: null, figures: null, status: null, sessions: null, calls: null, byDoor: null,
      bySubject: null, lostSince: null, troubles: {},
    };
    this.#sources = {
      figures: {
        path: () => {
          const last = this.#shown.recent?.last;
          return last === undefined ? "/v1/figures" : `/v1/figures?since=${last}`;
        },
        every: () => SECOND,
        take: (figures: Figures) => this.#merge({ figures, recent: Recent.after(this.#shown.recent, figures) }),
        due: 0,
        isAsking: false,
      },
      status: this.#plain("/v1/status", SECOND, (status: Status) => ({ status })),
      sessions: this.#plain(`/v1/sessions?limit=${ROWS}`, 2 * SECOND, (sessions: Sessions) => ({ sessions })),
      calls: this.#plain(`/v1/calls?limit=${ROWS}`, 2 * SECOND, (calls: Calls) => ({ calls })),
      byDoor: this.#ranged(
        ({ name, since, period }) => (name === "live" ? null : `/v1/usage?by=door&period=${period}&since=${since}`),
        (byDoor) => ({ byDoor }),
      ),
      bySubject: this.#ranged(({ since }) => `/v1/usage?by=subject&since=${since}&limit=${ROWS}`, (bySubject) => ({ bySubject })),
    };
    document.addEventListener("visibilitychange", this.#tick);
    this.#tick();
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    document.removeEventListener("visibilitychange", this.#tick);
  }

  /** Looks so far back from now on. */
  look(name: RangeName) {
    this.#merge({ range: rangeOf(name), byDoor: null, bySubject: null });
    this.#sources.byDoor.due = this.#sources.bySubject.due = 0;
    this.#changed(this.#shown);
    this.#tick();
  }

  /** Asks for something at once: it was changed from here. */
  refresh(...names: SourceName[]) {
    for (const name of names) this.#sources[name].due = 0;
    this.#tick();
  }

  #plain<Answer>(path: string, every: number, part: (answer: Answer) => Partial<Shown>): Source {
    return { path: () => path, every: () => every, take: (answer: Answer) => this.#merge(part(answer)), due: 0, isAsking: false };
  }

  /** An answer for a range that is not looked at any more is dropped. */
  #ranged(path: (range: Range) => string | null, part: (usage: Usage) => Partial<Shown>): Source {
    let asked: Range;
    return {
      path: () => path((asked = this.#shown.range)),
      every: () => this.#shown.range.every,
      take: (usage: Usage) => {
        if (asked === this.#shown.range) this.#merge(part(usage));
      },
      due: 0,
      isAsking: false,
    };
  }

  #merge(part: Partial<Shown>) {
    this.#shown = { ...this.#shown, ...part };
  }

  /** A source that is slow keeps no other one waiting. While nobody answers, only the first one asks. */
  readonly #tick = () => {
    clearTimeout(this.#timer);
    if (this.#isStopped || document.hidden) return;
    // A bit early is better than a whole round late.
    const now = performance.now() + SECOND / 4;
    for (const [name, source] of Object.entries(this.#sources) as [SourceName, Source][]) {
      const isWanted = name === FIRST || !this.#shown.lostSince;
      if (isWanted && !source.isAsking && source.due <= now) void this.#ask(name, source);
    }
    this.#timer = setTimeout(this.#tick, SECOND);
  };

  async #ask(name: SourceName, source: Source) {
    const path = source.path();
    source.due = performance.now() + source.every();
    if (path === null) return;
    source.isAsking = true;
    const outcome = await get<never>(path).catch((error: unknown) => error);
    source.isAsking = false;
    if (this.#isStopped) return;
    if (outcome instanceof Error) this.#fail(name, outcome);
    else this.#succeed(name, source, outcome as never);
    this.#changed(this.#shown);
    if (source.due === 0) this.#tick();
  }

  #succeed(name: SourceName, source: Source, answer: never) {
    source.take(answer);
    if (name === FIRST) this.#lastAnswer = new Date();
    const { [name]: _mended, ...troubles } = this.#shown.troubles;
    this.#merge({ troubles });
    if (name !== FIRST || !this.#shown.lostSince) return;
    this.#merge({ lostSince: null });
    for (const each of Object.values(this.#sources)) each.due = 0;
    this.#tick();
  }

  #fail(name: SourceName, error: Error) {
    if (!(error instanceof Problem)) throw error;
    if (error.isLoggedOut) this.#loggedOut();
    // That nobody answers is said once, above all.
    else if (name === FIRST && error.isLost) this.#merge({ lostSince: this.#lastAnswer, troubles: {} });
    else if (error.isLost && this.#shown.lostSince) return;
    else this.#merge({ troubles: { ...this.#shown.troubles, [name]: error } });
  }
}
