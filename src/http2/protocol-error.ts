/** The peer does not keep to HTTP/2. */
export class ProtocolError extends Error {
  readonly code = "ERR_HTTP2_ERROR";

  constructor() {
    super("Protocol error");
  }
}
