/** A part of the screen: a title, what it shows, and the command that shows the same in a terminal. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Problem } from "./api";

interface BlockProps {
  name: string;
  title: string;
  /** Controls beside the title. */
  aside?: ComponentChildren;
  command: string;
  /** Why what is shown may be old. */
  trouble?: Problem | undefined;
  children: ComponentChildren;
}

export function Block({ name, title, aside, command, trouble, children }: BlockProps) {
  return (
    <section class={`block ${name}`} aria-labelledby={`${name}-title`}>
      <header>
        <h2 id={`${name}-title`}>{title}</h2>
        {aside}
      </header>
      {trouble && <Trouble problem={trouble} />}
      {children}
      <Command line={command} />
    </section>
  );
}

/** What went wrong, and what to do. */
export function Trouble({ problem }: { problem: Problem }) {
  return (
    <div class="trouble bad">
      <p><Prose text={problem.message} /></p>
      {problem.hint && <p><Prose text={problem.hint} /></p>}
    </div>
  );
}

/** A list that may be longer than its place: it scrolls, also by keyboard. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div class="scroll" role="region" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}

/** Text of ours in which `commands` and `keys` stand between backticks. */
export function Prose({ text }: { text: string }) {
  return <>{text.split("`").map((part, at) => (at % 2 === 1 ? <code key={at}>{part}</code> : part))}</>;
}

/** An exact number for who reads the page with a program, in the form that people read. */
export function Figure({ value, text, name }: { value: number; text: string; name?: string }) {
  return (
    <data value={value} data-figure={name}>
      {text}
    </data>
  );
}

export function Command({ line }: { line: string }) {
  const code = useRef<HTMLElement>(null);
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setCopied(false), 2000);
    return () => clearTimeout(timer);
  }, [isCopied]);
  const copy = async () => setCopied(await toClipboard(line, code.current));
  return (
    <p class="command">
      <code ref={code} title={line}>{line}</code>
      <button class="quiet" type="button" aria-label={`Copy: ${line}`} onClick={copy}>
        {isCopied ? "Copied" : "Copy"}
      </button>
    </p>
  );
}

/** The clipboard is for secure contexts alone; elsewhere the text is selected, and copied if the browser lets us. */
async function toClipboard(text: string, shown: Node | null): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    if (!shown) return false;
    getSelection()?.selectAllChildren(shown);
    return document.execCommand("copy");
  }
}
