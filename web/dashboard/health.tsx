/** One line of how the daemon is: what needs somebody is marked by a sign and a word, not by colour alone. */
import { moment, size, span } from "../shared/numbers";
import type { Health } from "./api";
import { Command } from "./block";

type Grade = "good" | "warn" | "bad";

interface Sign {
  title: string;
  grade: Grade;
  text: string;
  /** More than there is room for. */
  detail?: string;
  command: string;
}

const MARKS: Record<Grade, string> = { good: "✓", warn: "!", bad: "✕" };

export function HealthStrip({ health }: { health: Health }) {
  return (
    <section class="health" aria-label="Health">
      <ul>
        {signs(health).map(({ title, grade, text, detail, command }) => (
          <li key={title} class={grade}>
            <div class="sign">
              <span class="mark" aria-hidden="true">{MARKS[grade]}</span>
              <h2>{title}{grade !== "good" && <span class="unseen">: look at this</span>}</h2>
              <Command line={command} />
            </div>
            <p class="said" title={detail ?? text}>{text}</p>
          </li>
        ))}
      </ul>
      {health.reasons.length > 0 && <p class="reasons bad">Not ready: {health.reasons.map(({ message }) => message).join("; ")}</p>}
    </section>
  );
}

const signs = (health: Health): Sign[] =>
  [certificate(health), storage(health), config(health), shards(health), drain(health)];

/** Days before the end at which somebody should look. */
const SOON = 14;

function certificate({ tls, certificates }: Health): Sign {
  const sign = { title: "Certificate", command: "turnstone cert" };
  if (tls === null) return { ...sign, grade: "good", text: "no door speaks TLS" };
  const [first] = [...certificates].sort((one, other) => one.expires_in_s - other.expires_in_s);
  if (!first) return { ...sign, grade: "bad", text: "none" };
  const left = first.expires_in_s > 0 ? `${span(first.expires_in_s)} left` : "has expired";
  const fault = certificates.find(({ fault }) => fault !== null)?.fault;
  const days = first.expires_in_s / 86_400;
  const grade = days <= 2 ? "bad" : days <= SOON || fault || !tls.all_current ? "warn" : "good";
  const text = fault ? `${left}, not renewed` : left;
  return { ...sign, grade, text, detail: [first.name, first.expires_at, fault].filter(Boolean).join(", ") };
}

function storage({ storage }: Health): Sign {
  const sign = { title: "Storage", command: "turnstone status" };
  if (!storage) return { ...sign, grade: "good", text: "starting" };
  if (!storage.ok) return { ...sign, grade: "bad", text: storage.message ?? "not in use" };
  const bytes = storage.bytes_on_disk;
  return { ...sign, grade: "good", text: bytes === null ? "written to" : `written to, ${size(bytes)}` };
}

function config({ reload }: Health): Sign {
  const since = `in force since ${moment(new Date(reload.last_success_at))}`;
  if (reload.successful) return { title: "Config", grade: "good", text: since, command: "turnstone status" };
  return { title: "Config", grade: "bad", text: `the last reload failed; ${since}`, command: "turnstone check-config" };
}

function shards({ workers: { count, stalled } }: Health): Sign {
  const sign = { title: "Shards", command: "turnstone status" };
  if (stalled.length > 0) return { ...sign, grade: "bad", text: `${stalled.length} of ${count} stand still: ${stalled.join(", ")}` };
  return { ...sign, grade: "good", text: `${count} of ${count} move` };
}

function drain({ draining, state }: Health): Sign {
  if (draining) return { title: "Drain", grade: "warn", text: "new sessions are refused", command: "turnstone undrain" };
  const text = state === "starting" ? "starting" : "new sessions are taken";
  return { title: "Drain", grade: state === "starting" ? "warn" : "good", text, command: "turnstone status" };
}
