/** Who relays most now, and how to end a session. */
import { useEffect, useRef, useState } from "preact/hooks";
import { bitRate, count, size, span } from "../shared/numbers";
import { Problem, endSession, type Session } from "./api";
import { Block, Command, Figure, Scroll, Trouble } from "./block";
import type { Shown } from "./watch";

interface TalkersProps {
  shown: Shown;
  /** A session was ended from here. */
  onEnded: () => void;
}

export function TalkersBlock({ shown, onEnded }: TalkersProps) {
  const [asked, setAsked] = useState<Session | null>(null);
  const [said, setSaid] = useState("");
  const answer = shown.sessions;
  const ended = (session: Session) => {
    setSaid(`The session ${session.id} has ended.`);
    onEnded();
  };
  return (
    <Block name="talkers" title="Top talkers" command="turnstone sessions" trouble={shown.troubles.sessions}
      aside={answer && <p class="muted">{answer.sessions.length} of {count(answer.total)} sessions{answer.complete ? "" : ", some are missing"}</p>}>
      <Scroll label="Sessions, those with the highest rate first">
        {answer && answer.sessions.length > 0 ? (
          <Table sessions={answer.sessions} onEnd={setAsked} />
        ) : (
          <p class="muted">{answer ? "There are no sessions." : "No answer yet."}</p>
        )}
      </Scroll>
      <p role="status" class="unseen">{said}</p>
      {asked && <EndDialog session={asked} onClose={() => setAsked(null)} onEnded={ended} />}
    </Block>
  );
}

function Table({ sessions, onEnd }: { sessions: Session[]; onEnd: (session: Session) => void }) {
  const hasLabels = sessions.some(({ label }) => label !== null);
  return (
    <table class="sessions">
      <thead>
        <tr>
          <th scope="col">Subject</th>{hasLabels && <th scope="col" class="extra">Label</th>}<th scope="col" class="extra">Client</th>
          <th scope="col" class="figure">In</th>
          <th scope="col" class="figure">Out</th><th scope="col" class="figure extra">Bytes</th><th scope="col" class="figure extra">Age</th>
          <th scope="col"><span class="unseen">End it</span></th>
        </tr>
      </thead>
      <tbody>
        {sessions.map((session) => (
          <tr key={session.id} data-session={session.id}>
            <th scope="row" class="cut"><bdi title={session.subject}>{session.subject}</bdi></th>
            {hasLabels && <td class="cut extra">{session.label !== null && <bdi title={session.label}>{session.label}</bdi>}</td>}
            <td class="cut extra"><bdi title={session.client}>{session.transport} {session.client}</bdi></td>
            <td class="figure">{bitRate(session.rate_from_client_bps)}</td>
            <td class="figure">{bitRate(session.rate_from_peer_bps)}</td>
            <td class="figure extra">
              <Figure value={session.bytes_from_client + session.bytes_from_peer} text={size(session.bytes_from_client + session.bytes_from_peer)} />
            </td>
            <td class="figure extra">{span(session.age_s)}</td>
            <td class="figure">
              <button type="button" onClick={() => onEnd(session)} aria-label={`End the session of ${session.subject}`}>End…</button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

interface EndDialogProps {
  session: Session;
  onClose: () => void;
  onEnded: (session: Session) => void;
}

function EndDialog({ session, onClose, onEnded }: EndDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [isEnding, setEnding] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const end = async () => {
    setEnding(true);
    try {
      await endSession(session.id);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      // It has ended meanwhile.
      if (error.status !== 404) {
        setProblem(error);
        setEnding(false);
        return;
      }
    }
    onEnded(session);
    dialog.current?.close();
  };
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="end-title">
      <h2 id="end-title">End this session?</h2>
      <dl class="about">
        <div><dt>Subject</dt><dd><bdi>{session.subject}</bdi></dd></div>
        {session.label !== null && <div><dt>Label</dt><dd><bdi>{session.label}</bdi></dd></div>}
        <div><dt>Client</dt><dd>{session.transport} {session.client}</dd></div>
      </dl>
      <p>
        Its relay ports close at once. The client may come again with its credential: <code>turnstone revoke</code> keeps
        it out.
      </p>
      {problem && <Trouble problem={problem} />}
      <Command line={`turnstone session kill ${session.id}`} />
      <div class="choices">
        <button type="button" onClick={() => dialog.current?.close()} autoFocus>Keep it</button>
        <button type="button" class="danger" disabled={isEnding} onClick={end}>End session</button>
      </div>
    </dialog>
  );
}
