// Who came, by what the address says behind its `#`, which no server and no other page is told; and how an API key
// becomes two users.

/** `token`: somebody else made the two users, and this is the second one. */
export type Arrival = { by: "key"; key: string } | { by: "token"; token: string; peer: string } | { by: "nothing" };

export interface Participant {
  user: string;
  token: string;
}

/** What the server said instead, with what to do about it. */
export class Refusal extends Error {
  override readonly name = "Refusal";

  constructor(
    readonly code: string,
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

/** Reads the address once, and takes the secret out of it. */
export function arrive(location: Location, history: History): Arrival {
  const facts = new URLSearchParams(location.hash.slice(1));
  if (location.hash) history.replaceState(null, "", location.pathname);
  const [key, token] = [facts.get("key"), facts.get("token")];
  if (key) return { by: "key", key };
  if (token) return { by: "token", token, peer: facts.get("to") ?? "" };
  return { by: "nothing" };
}

/** Where the second participant opens this page; holds their token. */
export function link(other: Participant, me: string): string {
  return `${location.origin}${location.pathname}#${new URLSearchParams({ token: other.token, to: me })}`;
}

/** The user whom a token names (RFC 7519 section 4.1.2). We only read what the server is going to judge. */
export function subject(token: string): string | undefined {
  try {
    const claims = atob((token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/"));
    const bytes = Uint8Array.from(claims, (character) => character.charCodeAt(0));
    const { sub } = JSON.parse(new TextDecoder().decode(bytes)) as { sub?: unknown };
    return typeof sub === "string" && sub !== "" ? sub : undefined;
  } catch {
    return undefined;
  }
}

/** Two users that nobody else has. `key`: an API key with the scope `mint`. */
export async function participants(key: string): Promise<[Participant, Participant]> {
  const headers = { authorization: `Bearer ${key}` };
  let response: Response;
  try {
    response = await fetch("/test/participants", { method: "POST", headers });
  } catch {
    throw new Refusal("unreachable", "The server does not answer.", "Is it still running? Then try again.");
  }
  const body = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  if (response.ok) return body["participants"] as [Participant, Participant];
  const text = (name: string, otherwise: string) => (typeof body[name] === "string" ? body[name] : otherwise);
  throw new Refusal(text("code", "internal"), text("message", `status ${response.status}`), text("hint", ""));
}
