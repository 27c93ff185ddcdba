/** What an operator is told of, before users notice. docs/operations.md says what each means and what to do. */
export const ALERT_NAMES = [
  "low_disk",
  "failing_audits",
  "channel_low",
  "chain_stale",
  "certificate_expiring",
] as const;
export type AlertName = typeof ALERT_NAMES[number];

/** Something that needs an operator, from when it was noticed until it is over. */
export interface Alert {
  readonly name: AlertName;
  /** What is wrong, with its values, and what to do. It may change while the alert lasts. */
  readonly message: string;
  /** Since when, in milliseconds since the epoch. */
  readonly since: number;
}
