// A small typed emitter. Whoever listens cannot break whoever tells: what a listener throws is reported as uncaught.

/** Ends a subscription. */
export type Unsubscribe = () => void;

export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(data: never) => void>>();

  /** Hears an event until the returned function is called. */
  on<Name extends keyof Events>(name: Name, listener: (data: Events[Name]) => void): Unsubscribe {
    let all = this.#listeners.get(name);
    if (!all) this.#listeners.set(name, (all = new Set()));
    all.add(listener);
    return () => all.delete(listener);
  }

  /** Hears it once. */
  once<Name extends keyof Events>(name: Name, listener: (data: Events[Name]) => void): Unsubscribe {
    const off = this.on(name, (data) => {
      off();
      listener(data);
    });
    return off;
  }

  protected emit<Name extends keyof Events>(name: Name, data: Events[Name]): void {
    // A copy: who stops listening meanwhile does not move the others.
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as (data: Events[Name]) => void)(data);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
