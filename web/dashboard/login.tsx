/** Who has an API key with the scope `admin` shows it once; the browser goes by a cookie then. */
import { useState } from "preact/hooks";
import { Problem, logIn } from "./api";
import { Command, Trouble } from "./block";

export function LoginPage({ notice, onIn }: { notice: string; onIn: () => void }) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isAsking, setAsking] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const typed = new FormData(event.currentTarget as HTMLFormElement).get("key");
    setAsking(true);
    setProblem(null);
    try {
      await logIn(String(typed ?? "").trim());
      onIn();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
      setAsking(false);
    }
  };
  return (
    <main class="login">
      <h1>Turnstone</h1>
      <p class="muted">{location.host}</p>
      {notice && <p class="warn">{notice}</p>}
      <form onSubmit={submit}>
        <input type="text" name="username" autoComplete="username" value="turnstone" hidden />
        <label for="key">API key with the scope <code>admin</code></label>
        <input id="key" name="key" type="password" required maxLength={256} autoComplete="current-password" spellcheck={false}
          autoFocus aria-describedby="key-problem" aria-invalid={problem?.isLoggedOut ?? false} />
        <div id="key-problem" role="alert">{problem && <Trouble problem={problem} />}</div>
        <button class="primary" type="submit" disabled={isAsking}>Log in</button>
      </form>
      <p class="muted">There is none yet? On the machine of the daemon:</p>
      <Command line="turnstone api-key new --name dashboard --scope admin" />
      <p class="muted small"><a href="/assets/THIRD-PARTY.txt">Licences of what is in this page</a></p>
    </main>
  );
}
