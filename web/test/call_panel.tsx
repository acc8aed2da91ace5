// The call check: who is there, how to call, what is seen and heard, and how well.

import { useEffect, useRef, useState } from "preact/hooks";
import { bitRate, clock } from "../shared/numbers";
import { link } from "./arrival";
import type { Participant } from "./arrival";
import { Chart } from "./chart";
import type { Line, Sample, Wishes } from "./line";
import { CALL } from "./words";

const WAYS = [["any", "any"], ["udp", "UDP"], ["tcp", "TCP"], ["tls", "TLS"]] as const;

interface CallPanelProps {
  line: Line;
  /** Who is here, by the server or by the token: the link is complete before there is signaling. */
  me: string;
  peer: string;
  other: Participant | undefined;
}

export function CallPanel({ line, me, peer, other }: CallPanelProps) {
  const [wishes, setWishes] = useState<Wishes>({ relayOnly: false, way: "any", picture: "synthetic" });
  const { call, incoming, isBusy } = line;
  const isReady = line.state === "connected" && !isBusy;
  return (
    <section class="panel call" aria-labelledby="call-title">
      <header>
        <h2 id="call-title">Call check</h2>
        <span role="status" class="muted" data-call={call?.state ?? "none"}>{call ? CALL[call.state] : "no call"}</span>
      </header>
      {other && !call && <Link url={link(other, me)} />}
      <Settings wishes={wishes} change={setWishes} isFixed={isBusy || call !== undefined} />
      <div class="actions">
        {incoming && (
          <>
            <p role="alert"><bdi class="strong">{incoming.name || incoming.peer}</bdi> calls</p>
            <button class="primary" disabled={isBusy} onClick={() => void line.accept(wishes)}>Accept</button>
            <button onClick={() => line.decline()}>Decline</button>
          </>
        )}
        {call && (
          <>
            <p>With <bdi>{call.peer}</bdi></p>
            <button class="danger" onClick={() => line.hangUp()}>Hang up</button>
          </>
        )}
        {!call && !incoming && (
          <>
            <button class="primary" disabled={!isReady} onClick={() => void line.start(peer, wishes)}>Call</button>
            <bdi class="muted">{peer}</bdi>
          </>
        )}
      </div>
      {line.trouble && <p class="trouble" role="alert">{line.trouble}</p>}
      {call && (
        <div class="videos">
          <Video label="from the other side" stream={line.remote} />
          <Video label="from here" stream={line.media?.stream} isOwn />
        </div>
      )}
      {line.samples.length > 0 && <Figures samples={line.samples} />}
      <Notes line={line} />
    </section>
  );
}

function Link({ url }: { url: string }) {
  const [isCopied, setCopied] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(url);
      setCopied(true);
    } catch {
      // Not a secure context, or not allowed: then by hand.
      field.current?.select();
    }
  };
  return (
    <div class="link">
      <label for="link">Second participant: open this in another tab or on another machine, within ten minutes</label>
      <div class="row">
        <input id="link" ref={field} type="text" readOnly value={url} onFocus={(event) => event.currentTarget.select()} />
        <button onClick={() => void copy()}>{isCopied ? "Copied" : "Copy"}</button>
        <a class="button" href={url} target="_blank" rel="noreferrer">Open</a>
      </div>
    </div>
  );
}

function Settings({ wishes, change, isFixed }: { wishes: Wishes; change: (wishes: Wishes) => void; isFixed: boolean }) {
  return (
    <div class="settings">
      <fieldset disabled={isFixed}>
        <legend>Picture</legend>
        {(["synthetic", "camera"] as const).map((picture) => (
          <label key={picture}>
            <input type="radio" name="picture" checked={wishes.picture === picture} onChange={() => change({ ...wishes, picture })} />
            {picture === "camera" ? "camera and microphone" : "synthetic picture and tone"}
          </label>
        ))}
      </fieldset>
      <fieldset disabled={isFixed}>
        <legend>Servers</legend>
        {WAYS.map(([way, name]) => (
          <label key={way}>
            <input type="radio" name="way" checked={wishes.way === way} onChange={() => change({ ...wishes, way })} />
            {name}
          </label>
        ))}
        <label>
          <input
            type="checkbox"
            checked={wishes.relayOnly}
            onChange={(event) => change({ ...wishes, relayOnly: event.currentTarget.checked })}
          />
          relay only
        </label>
      </fieldset>
    </div>
  );
}

function Video({ label, stream, isOwn = false }: { label: string; stream: MediaStream | undefined; isOwn?: boolean }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current && video.current.srcObject !== (stream ?? null)) video.current.srcObject = stream ?? null;
  });
  return (
    <figure>
      <video ref={video} autoplay playsInline muted={isOwn} aria-label={`Picture ${label}`} />
      <figcaption class="muted">{label}</figcaption>
    </figure>
  );
}

function Figures({ samples }: { samples: Sample[] }) {
  const last = samples.at(-1);
  const of = (take: (sample: Sample) => number | null) => samples.map(take);
  return (
    <div class="figures">
      <dl>
        <div><dt>Selected pair</dt><dd data-pair={last?.local ?? ""}><code>{last?.pair ?? "none yet"}</code></dd></div>
        <div><dt>Frames decoded</dt><dd>{last?.framesDecoded ?? 0}</dd></div>
      </dl>
      <div class="charts">
        <Chart title="Round trip" series={[{ name: "rtt", values: of((s) => s.rtt_ms), colour: 1 }]} format={(ms) => `${Math.round(ms)} ms`} scale={10} />
        <Chart
          title="Bit rate"
          series={[{ name: "in", values: of((s) => s.in_bps), colour: 1 }, { name: "out", values: of((s) => s.out_bps), colour: 2 }]}
          format={bitRate}
          scale={100_000}
        />
        <Chart title="Loss" series={[{ name: "loss", values: of((s) => s.loss * 100), colour: 1 }]} format={(share) => `${share.toFixed(share < 10 ? 1 : 0)} %`} scale={1} />
      </div>
    </div>
  );
}

function Notes({ line }: { line: Line }) {
  if (line.notes.length === 0) return null;
  return (
    <details class="notes" open>
      <summary>What happened</summary>
      <ol tabIndex={0} aria-label="What happened, the newest first">
        {line.notes.map(({ at, text, isBad }) => (
          <li key={`${at.getTime()} ${text}`} class={isBad ? "warn" : ""}>
            <time class="muted">{clock(at)}</time> {text}
          </li>
        ))}
      </ol>
    </details>
  );
}
