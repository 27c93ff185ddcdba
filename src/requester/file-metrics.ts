import type { Metrics } from "../core/mod.ts";

const SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 600, 3600];

/** What a requester measures of its files. */
export class FileMetrics {
  readonly putBytes;
  readonly getBytes;
  readonly puts;
  readonly putSeconds;
  readonly firstByteSeconds;
  readonly audits;
  readonly auditBytes;
  readonly repairs;
  readonly repairBytes;
  readonly shardFailures;

  constructor(metrics: Metrics) {
    this.puts = metrics.counter("velas_files_puts_total", "Puts of files, by how they ended.", ["result"]);
    this.putBytes = metrics.counter("velas_files_put_bytes_total", "Plaintext bytes of files that were put.");
    this.getBytes = metrics.counter("velas_files_get_bytes_total", "Plaintext bytes of files that were read.");
    this.putSeconds = metrics.histogram("velas_files_put_seconds", "Time until a put was acknowledged.", SECONDS);
    this.firstByteSeconds = metrics.histogram(
      "velas_files_first_byte_seconds",
      "Time until the first byte of a read.",
      SECONDS,
    );
    this.audits = metrics.counter("velas_files_audits_total", "Audits of shards, by their result.", ["result"]);
    this.auditBytes = metrics.counter("velas_files_audit_bytes_total", "Bytes that audits received.");
    this.repairs = metrics.counter("velas_files_repairs_total", "Shards that were to be rebuilt, by the result.", [
      "result",
    ]);
    this.repairBytes = metrics.counter("velas_files_repair_bytes_total", "Bytes that repairs read and wrote.");
    this.shardFailures = metrics.counter(
      "velas_files_shard_failures_total",
      "Shards that failed in a put or get, by what was going on.",
      ["during"],
    );
  }
}
