// Tokens as an app's back end signs them (RFC 7519, HS256).

import { createHmac } from "node:crypto";
import { facts } from "./lib.mjs";

export function token(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 600;
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ exp, ...claims })}`;
  return `${signed}.${createHmac("sha256", facts.jwt_secret).update(signed).digest("base64url")}`;
}
