/** The dashboard: one screen of how the relay is, for who runs it. */
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { clock, span } from "../shared/numbers";
import { followTheme, setTheme, theme, type Theme } from "../shared/theme";
import { Problem, logOut, resume } from "./api";
import { CallsBlock } from "./calls";
import { FailuresBlock } from "./failures";
import { GaugesBlock } from "./gauges";
import { HealthStrip } from "./health";
import { LoginPage } from "./login";
import { PacketsBlock } from "./packets";
import { SubjectsBlock } from "./subjects";
import { TalkersBlock } from "./talkers";
import { TrafficBlock } from "./traffic";
import { Watch, type Shown } from "./watch";

/** Milliseconds between two attempts to find out who is logged in. */
const AGAIN = 1000;

/** Who looks: nobody knows yet, somebody who is to log in, or somebody who is in. */
type Stand = { is: "unknown"; lostSince: Date | null } | { is: "out"; notice: string } | { is: "in" };

function App() {
  const [stand, setStand] = useState<Stand>({ is: "unknown", lostSince: null });
  const look = useLook();
  useEffect(() => {
    if (stand.is !== "unknown") return;
    const find = () => resume().then(() => setStand({ is: "in" }), (error) => setStand(unanswered(stand.lostSince, error)));
    const timer = setTimeout(find, stand.lostSince ? AGAIN : 0);
    return () => clearTimeout(timer);
  }, [stand]);
  switch (stand.is) {
    case "unknown":
      return stand.lostSince && <main class="login"><h1>Turnstone</h1><Lost since={stand.lostSince} /></main>;
    case "out":
      return <LoginPage notice={stand.notice} onIn={() => setStand({ is: "in" })} />;
    case "in":
      return <Dashboard look={look} onOut={(notice) => setStand({ is: "out", notice })} />;
  }
}

function unanswered(lostSince: Date | null, error: unknown): Stand {
  if (error instanceof Problem && error.isLost) return { is: "unknown", lostSince: lostSince ?? new Date() };
  return { is: "out", notice: "" };
}

/** A number that changes with the colours: canvases have to be drawn again. */
function useLook(): number {
  const [look, setLook] = useState(0);
  useEffect(() => followTheme(() => setLook((before) => before + 1)), []);
  return look;
}

function Dashboard({ look, onOut }: { look: number; onOut: (notice: string) => void }) {
  const [shown, setShown] = useState<Shown | null>(null);
  const watch = useRef<Watch | null>(null);
  useEffect(() => {
    const begun = new Watch(setShown, () => onOut("You are not logged in any more: the time was over, or the daemon has started again."));
    watch.current = begun;
    return () => begun.stop();
  }, []);
  const leave = () =>
    logOut().then(
      () => onOut("You are logged out."),
      (error) => onOut(error instanceof Problem && error.isLoggedOut ? "You are logged out." : "The daemon was not told: this browser may still be logged in."),
    );
  if (!shown) return <main class="login" aria-busy="true"><h1>Turnstone</h1></main>;
  const { figures, status } = shown;
  return (
    <>
      <header class="top">
        <h1>Turnstone</h1>
        <p class="name muted">{location.host}</p>
        {figures && <p class={`state ${figures.health.ready ? "good" : "bad"}`}>{figures.health.state}</p>}
        {status && <p class="muted version">{status.version}, up {span(status.uptime_s)}</p>}
        <span class="rest" />
        <ThemeSwitch />
        <button type="button" onClick={leave}>Log out</button>
      </header>
      {shown.lostSince && <Lost since={shown.lostSince} />}
      <main class={`board ${shown.lostSince ? "old" : ""}`}>
        {figures && <HealthStrip health={figures.health} />}
        <TrafficBlock shown={shown} look={look} onRange={(name) => watch.current?.look(name)} />
        <GaugesBlock shown={shown} />
        <PacketsBlock shown={shown} look={look} />
        <TalkersBlock shown={shown} onEnded={() => watch.current?.refresh("sessions", "figures")} />
        <FailuresBlock shown={shown} />
        <SubjectsBlock shown={shown} />
        <CallsBlock shown={shown} />
      </main>
    </>
  );
}

function ThemeSwitch() {
  const [chosen, setChosen] = useState(theme());
  const choose = (event: Event) => {
    const next = (event.currentTarget as HTMLSelectElement).value as Theme;
    setTheme(next);
    setChosen(next);
  };
  return (
    <label class="theme">
      <span class="unseen">Colours</span>
      <select value={chosen} onChange={choose}>
        <option value="system">System</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  );
}

/** Said once aloud; what counts up is for the eye alone. */
function Lost({ since }: { since: Date }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <div class="lost">
      <p role="alert">No answer from the daemon since {clock(since)}; it is asked again every second.</p>
      <p aria-hidden="true">{span((now - since.getTime()) / 1000)}</p>
    </div>
  );
}

render(<App />, document.getElementById("page") as HTMLElement);
