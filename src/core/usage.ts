/** What a task consumed; the quantities that a price multiplies. */
export interface Usage {
  /** Wall-clock time in the plugin, in microseconds. */
  readonly wallMicros: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
  /** Metered instructions; 0 when the plugin runs outside the node. */
  readonly instructions: number;
  /** Time on the node's GPU, in microseconds, as the plugin reports it and at most `wallMicros`; absent when there was none. */
  readonly gpuMicros?: number;
}
