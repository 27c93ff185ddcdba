import { type Alert, ALERT_NAMES, type AlertName, type Clock, type Log, type Metrics } from "../core/mod.ts";

/** Looks at one thing. */
export interface Probe {
  readonly name: AlertName;
  /** What is wrong; undefined when nothing is. `raised` says whether its alert is raised now. It may throw: then nothing changes. */
  check(options: { readonly raised: boolean }): Promise<string | undefined> | string | undefined;
}

/** What happened to an alert. */
export interface AlertChange {
  readonly type: "raised" | "cleared";
  readonly alert: Alert;
}

export interface AlertBoardOptions {
  readonly probes: readonly Probe[];
  /** How often the probes are asked, in milliseconds. */
  readonly everyMs: number;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Told of each change, after it is in the log. It must not throw. */
  readonly onChange?: (change: AlertChange) => void;
}

/** The alerts of a node. */
export class AlertBoard {
  readonly #options: AlertBoardOptions;
  readonly #alerts = new Map<AlertName, Alert>();
  readonly #gauge;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;

  constructor(options: AlertBoardOptions) {
    this.#options = options;
    this.#gauge = options.metrics.gauge("velas_alert", "1 while the alert is raised, else 0", ["name"]);
    for (const name of ALERT_NAMES) this.#gauge.set(0, { name });
  }

  /** Those that are raised now, the oldest first. */
  list(): readonly Alert[] {
    return [...this.#alerts.values()];
  }

  /** Asks at once, and then every so often. */
  start(): void {
    void this.check();
    this.#timer = setInterval(() => void this.check(), this.#options.everyMs);
    this.#timer.unref();
  }

  /** Asks all probes. While a round is under way, it is that round. Never throws. */
  check(): Promise<void> {
    return this.#round ??= this.#ask().finally(() => this.#round = undefined);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#round;
  }

  async #ask(): Promise<void> {
    for (const probe of this.#options.probes) {
      try {
        this.#set(probe.name, await probe.check({ raised: this.#alerts.has(probe.name) }));
      } catch (error) {
        this.#options.log.warn("An alert's probe failed; the alert stays as it is", { alert: probe.name, error });
      }
    }
  }

  #set(name: AlertName, message: string | undefined): void {
    const { log, clock, onChange } = this.#options;
    const known = this.#alerts.get(name);
    if (message === undefined) {
      if (known === undefined) return;
      this.#alerts.delete(name);
      this.#gauge.set(0, { name });
      log.info("Alert cleared", { alert: name, lastedMs: clock.now() - known.since, was: known.message });
      onChange?.({ type: "cleared", alert: known });
      return;
    }
    const alert = { name, message, since: known?.since ?? clock.now() };
    this.#alerts.set(name, alert);
    if (known !== undefined) return;
    this.#gauge.set(1, { name });
    log.warn("Alert raised", { alert: name, reason: message });
    onChange?.({ type: "raised", alert });
  }
}
