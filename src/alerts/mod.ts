/**
 * Alerts. A board asks its probes every so often (`alert-board.ts`); what they find is raised once, kept while it lasts, and
 * cleared once: in the log, in `velas_alert`, for REST and the web page, and to a webhook (`webhook.ts`). Probes (`probes.ts`) only
 * read; each has a threshold to raise and a looser one to clear, so that a value at the edge does not ring every minute.
 */
export * from "./alert-board.ts";
export * from "./probes.ts";
export * from "./webhook.ts";
