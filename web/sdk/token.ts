// The token that says who the user is: kept while it is good, asked for anew before it ends.

/** Where a token comes from. `getToken` is asked for one whenever the last is about to end, or was refused. */
export type TokenSource = { token: string; getToken?: undefined } | { getToken: () => string | Promise<string> };

/** A token that ends within this time is as good as over. */
const MARGIN_S = 30;

export class Token {
  #text: string | undefined;
  readonly #get: (() => string | Promise<string>) | undefined;

  constructor(source: TokenSource) {
    if (source.getToken) this.#get = source.getToken;
    else this.#text = source.token;
  }

  /** Whether another one can be had. */
  get isRenewable(): boolean {
    return this.#get !== undefined;
  }

  /** The token to use now. */
  async current(): Promise<string> {
    if (this.#text === undefined || (this.#get && endsSoon(this.#text))) return this.renew();
    return this.#text;
  }

  async renew(): Promise<string> {
    if (this.#get) this.#text = await this.#get();
    return this.#text ?? "";
  }

  /** Takes this one from now on. */
  replace(text: string): void {
    this.#text = text;
  }

  /** It was refused. */
  forget(): void {
    if (this.#get) this.#text = undefined;
  }
}

/** By its claim `exp` (RFC 7519); whoever issues tokens that cannot be read is asked each time. */
function endsSoon(token: string): boolean {
  try {
    const claims = atob((token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/"));
    const { exp } = JSON.parse(claims) as { exp: number };
    return !(exp > Date.now() / 1000 + MARGIN_S);
  } catch {
    return true;
  }
}
