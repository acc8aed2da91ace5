// What `icecandidateerror` means, in words, and what to do. Codes are those of STUN and TURN (RFC 8489 section 14.8,
// RFC 8656 section 19), and 701 of the browser itself (W3C WebRTC 1.0 section 4.8.2).

export interface Meaning {
  what: string;
  toDo: string;
}

/** How a URL is reached. */
export type Way = "udp" | "tcp" | "tls";

const MEANINGS: Record<number, Meaning> = {
  300: {
    what: "The server sends its clients to another address.",
    toDo: "Nothing, if that other server is yours: browsers follow by themselves.",
  },
  400: {
    what: "The server did not understand the request.",
    toDo: "Something on the way may change packets: try TLS, which nothing can look into.",
  },
  401: {
    what: "The credential was refused: it is wrong, or its time is over.",
    toDo: "Log in again for a fresh one. If that does not help: do both clocks agree, and was the secret rotated?",
  },
  403: {
    what: "The server knows this user and refuses what was asked for.",
    toDo: "Look for a ban (turnstone revoke list), and at relay.peers in the config.",
  },
  437: {
    what: "The server has another allocation of the same address and port.",
    toDo: "Wait ten minutes or use another network: the last connection was cut off without its goodbye.",
  },
  438: {
    what: "The server's challenge was too old.",
    toDo: "Try again. If it comes back, this computer and the server are too slow for each other.",
  },
  440: {
    what: "The server does not relay the family of addresses that was asked for.",
    toDo: "Add an address of that family to relay.addresses.",
  },
  442: { what: "The server does not relay by that transport.", toDo: "Ask for UDP, as every browser does." },
  486: {
    what: "This user has as many allocations as one user may have.",
    toDo: "Close other tabs and calls of this user, or raise limits.allocations_per_user.",
  },
  500: { what: "The server could not do it now.", toDo: "Try again, and look at its log." },
  508: {
    what: "The server has no room: all relay ports, or all allocations that it may have, are in use.",
    toDo: "Look at turnstone status; widen relay.ports or raise limits.allocations_total.",
  },
};

const SILENT: Record<Way, Meaning> = {
  udp: {
    what: "No answer over UDP.",
    toDo: "Open this UDP port in the firewall of the server, or this network blocks UDP: then TCP and TLS have to work.",
  },
  tcp: {
    what: "No connection over TCP.",
    toDo: "Open this TCP port in the firewall of the server, or this network lets only port 443 out: then use TLS there.",
  },
  tls: {
    what: "No connection over TLS.",
    toDo:
      "Either the TCP port is closed, or this browser does not trust the certificate: a self-signed one cannot be accepted "
      + "for TURN by a click, and the name in the URL has to be in it.",
  },
};

/** What a code means for a URL that is reached in this way. */
export function meaning(code: number, way: Way): Meaning {
  if (code === 701) return SILENT[way];
  const otherwise = { what: `The server answered with error ${code}.`, toDo: "Look for this code in RFC 8656, section 19." };
  return MEANINGS[code] ?? otherwise;
}

/** Nobody said anything until we gave up. */
export function silence(way: Way): Meaning {
  return SILENT[way];
}
