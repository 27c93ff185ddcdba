/*
 * nghttp2 for sessions that are written in JavaScript: what comes in, goes out and is told crosses in as few calls as can be. A connection is the
 * address of its state. Nothing here knows of sockets, and nothing but `now` knows of a world outside.
 */
#include <nghttp2/nghttp2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT(name) __attribute__((import_module("engine"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

/* The headers or trailers of a stream, as "name\0value\0" again and again, and whether nothing follows. */
IMPORT(headers) void js_headers(int32_t connection, int32_t stream, const char *text, uint32_t length, uint32_t ends);
/* A part of the body, at an offset in what was given to `receive`. */
IMPORT(data) void js_data(int32_t connection, int32_t stream, uint32_t offset, uint32_t length);
/* The body has ended. */
IMPORT(ended) void js_ended(int32_t connection, int32_t stream);
IMPORT(closed) void js_closed(int32_t connection, int32_t stream, uint32_t code);
/* How much of an answer's body is to go into a frame: a length of at most `most`, with BODY_ flags, or less than 0 when there is none yet. */
IMPORT(body) int32_t js_body(int32_t connection, int32_t stream, uint32_t most);
/* That much of it is to be sent, behind the nine bytes of its frame's header. */
IMPORT(send) void js_send(int32_t connection, int32_t stream, const uint8_t *header, uint32_t length);
/* The peer answered a ping. */
IMPORT(pong) void js_pong(int32_t connection);
/* The peer said what it allows. */
IMPORT(settings) void js_settings(int32_t connection);
/* The peer asks to leave, with a code. */
IMPORT(dismissed) void js_dismissed(int32_t connection, uint32_t code);
/* Seconds of a clock that never goes back. */
IMPORT(now) uint32_t js_now(void);

enum { BODY_LENGTH = 0xffffff, BODY_ENDS = 1 << 24, BODY_HAS_TRAILERS = 1 << 25 };
enum { INPUT_BYTES = 1 << 16, FRAME_BYTES = 1 << 16, PAIR_BYTES = 32, FIRST_TEXT_BYTES = 1024 };

struct connection {
  nghttp2_session *session;
  /* Headers that are coming in. */
  char *text;
  uint32_t length;
  uint32_t room;
  /* What they may take, as HTTP/2 counts it (RFC 9113, section 6.5.2), and what these take. */
  uint32_t most;
  uint32_t counted;
};

static uint8_t input[INPUT_BYTES];
static const uint8_t *output;
static char *scratch;
static uint32_t scratch_room;
static nghttp2_nv *pairs;
static uint32_t pairs_room;
static nghttp2_session_callbacks *callbacks;
static nghttp2_option *options;

/* In place of nghttp2_time.c. */
uint64_t nghttp2_time_now_sec(void) { return js_now(); }

/* nghttp2 words errors with it for a callback that nobody sets; the C library's would bring files with it. */
int vsnprintf(char *text, size_t room, const char *format, va_list values) {
  (void)text, (void)room, (void)format, (void)values;
  return -1;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  struct connection *c = user;
  (void)session, (void)frame;
  c->length = 0;
  c->counted = 0;
  return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t value_length, uint8_t flags, void *user) {
  struct connection *c = user;
  uint32_t added = name_length + value_length + 2;
  (void)flags;
  c->counted += name_length + value_length + PAIR_BYTES;
  if (c->counted > c->most) {
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_ENHANCE_YOUR_CALM);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  if (c->length + added > c->room) {
    uint32_t room = c->room ? c->room : FIRST_TEXT_BYTES;
    while (c->length + added > room) room *= 2;
    char *text = realloc(c->text, room);
    if (!text) return NGHTTP2_ERR_CALLBACK_FAILURE;
    c->text = text;
    c->room = room;
  }
  char *at = c->text + c->length;
  memcpy(at, name, name_length);
  at[name_length] = 0;
  memcpy(at + name_length + 1, value, value_length);
  at[added - 1] = 0;
  c->length += added;
  return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  struct connection *c = user;
  int ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  (void)session;
  switch (frame->hd.type) {
  case NGHTTP2_HEADERS:
    js_headers((int32_t)c, frame->hd.stream_id, c->text, c->length, ends);
    break;
  case NGHTTP2_DATA:
    if (ends) js_ended((int32_t)c, frame->hd.stream_id);
    break;
  case NGHTTP2_SETTINGS:
    if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) js_settings((int32_t)c);
    break;
  case NGHTTP2_GOAWAY:
    js_dismissed((int32_t)c, frame->goaway.error_code);
    break;
  case NGHTTP2_PING:
    if (frame->hd.flags & NGHTTP2_FLAG_ACK) js_pong((int32_t)c);
    break;
  }
  return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t length, void *user) {
  (void)flags;
  /* The window of the connection is for all streams: one that nobody reads does not hold up the others. */
  nghttp2_session_consume_connection(session, length);
  js_data((int32_t)user, stream, data - input, length);
  return 0;
}

/* Headers that are too large to be sent end their stream; nghttp2 does that for requests itself. */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user) {
  (void)error, (void)user;
  if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_FRAME_SIZE_ERROR);
  }
  return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user) {
  (void)session;
  js_closed((int32_t)user, stream, code);
  return 0;
}

static nghttp2_ssize on_body(nghttp2_session *session, int32_t stream, uint8_t *buffer, size_t most, uint32_t *flags,
                             nghttp2_data_source *source, void *user) {
  (void)session, (void)buffer, (void)source;
  int32_t body = js_body((int32_t)user, stream, most);
  if (body < 0) return NGHTTP2_ERR_DEFERRED;
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (body & BODY_ENDS) *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (body & BODY_HAS_TRAILERS) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
  return body & BODY_LENGTH;
}

/* How long a frame of a body may be: as long as the peer takes, in place of 16 KiB. */
static nghttp2_ssize on_length(nghttp2_session *session, uint8_t type, int32_t stream, int32_t session_window,
                               int32_t stream_window, uint32_t most_frame_bytes, void *user) {
  (void)session, (void)type, (void)stream, (void)user;
  int32_t length = session_window < stream_window ? session_window : stream_window;
  if ((uint32_t)length > most_frame_bytes) length = most_frame_bytes;
  return length > FRAME_BYTES ? FRAME_BYTES : length;
}

static int on_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header, size_t length,
                   nghttp2_data_source *source, void *user) {
  (void)session, (void)source;
  js_send((int32_t)user, frame->hd.stream_id, header, length);
  return 0;
}

static const nghttp2_data_provider2 BODY = {.read_callback = on_body};

static int prepare(void) {
  if (options) return 1;
  if (nghttp2_session_callbacks_new(&callbacks) || nghttp2_option_new(&options)) return 0;
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_not_sent);
  nghttp2_session_callbacks_set_data_source_read_length_callback2(callbacks, on_length);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send);
  nghttp2_option_set_no_auto_window_update(options, 1);
  return 1;
}

/* A connection, which has its settings to send; 0 without memory. A server says how many streams and what headers it takes. */
EXPORT(open) int32_t h2_open(int32_t is_client, uint32_t stream_window, uint32_t connection_window,
                             uint32_t most_header_bytes, uint32_t most_streams, uint32_t header_bytes) {
  struct connection *c = prepare() ? calloc(1, sizeof *c) : NULL;
  if (!c) return 0;
  c->most = most_header_bytes;
  if (is_client ? nghttp2_session_client_new2(&c->session, callbacks, c, options)
                : nghttp2_session_server_new2(&c->session, callbacks, c, options)) {
    free(c);
    return 0;
  }
  nghttp2_settings_entry of_client[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_BYTES},
  };
  nghttp2_settings_entry of_server[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, most_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_BYTES},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, header_bytes},
  };
  if (is_client) nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, of_client, 3);
  else nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, of_server, 4);
  nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, connection_window);
  return (int32_t)c;
}

EXPORT(close) void h2_close(struct connection *c) {
  nghttp2_session_del(c->session);
  free(c->text);
  free(c);
}

/* Where bytes that come in are put, at most INPUT_BYTES. */
EXPORT(input) uint8_t *h2_input(void) { return input; }

/* Takes so many of them. Less than 0 when the connection cannot go on. */
EXPORT(receive) int32_t h2_receive(struct connection *c, uint32_t length) {
  return nghttp2_session_mem_recv2(c->session, input, length);
}

/* The length of what is to be sent next, 0 for nothing, less than 0 when the connection cannot go on. Bodies go by `send` meanwhile. */
EXPORT(next) int32_t h2_next(struct connection *c) { return nghttp2_session_mem_send2(c->session, &output); }
EXPORT(output) const uint8_t *h2_output(void) { return output; }

/* 1: it still reads, 2: it has something to send. */
EXPORT(wants) int32_t h2_wants(struct connection *c) {
  return (nghttp2_session_want_read(c->session) != 0) | (nghttp2_session_want_write(c->session) != 0) << 1;
}

/* Room for the text of headers that go out; 0 without memory. */
EXPORT(scratch) char *h2_scratch(uint32_t length) {
  if (length > scratch_room) {
    char *room = realloc(scratch, length);
    if (!room) return NULL;
    scratch = room;
    scratch_room = length;
  }
  return scratch;
}

/* Before a name whose value no table is to keep. */
enum { UNINDEXED = 1 };

/* Makes pairs of the text in the scratch, as `headers` has it. */
static int read_pairs(uint32_t length, size_t *count) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < length; i++) found += scratch[i] == 0;
  if (found > pairs_room) {
    nghttp2_nv *room = realloc(pairs, found * sizeof *pairs);
    if (!room) return 0;
    pairs = room;
    pairs_room = found;
  }
  size_t n = 0;
  for (char *at = scratch; at < scratch + length; n++) {
    nghttp2_nv *pair = &pairs[n];
    pair->flags = *at == UNINDEXED ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
    at += *at == UNINDEXED;
    pair->name = (uint8_t *)at;
    pair->namelen = strlen(at);
    at += pair->namelen + 1;
    pair->value = (uint8_t *)at;
    pair->valuelen = strlen(at);
    at += pair->valuelen + 1;
  }
  *count = n;
  return 1;
}

/* Opens a stream, and returns its number, or less than 0 when there can be no more. */
EXPORT(request) int32_t h2_request(struct connection *c, uint32_t length, int32_t has_body) {
  size_t count;
  if (!read_pairs(length, &count)) return NGHTTP2_ERR_NOMEM;
  return nghttp2_submit_request2(c->session, NULL, pairs, count, has_body ? &BODY : NULL, NULL);
}

EXPORT(respond) int32_t h2_respond(struct connection *c, int32_t stream, uint32_t length, int32_t has_body) {
  size_t count;
  if (!read_pairs(length, &count)) return NGHTTP2_ERR_NOMEM;
  return nghttp2_submit_response2(c->session, stream, pairs, count, has_body ? &BODY : NULL);
}

/* Headers of a status below 200. */
EXPORT(inform) int32_t h2_inform(struct connection *c, int32_t stream, uint32_t length) {
  size_t count;
  if (!read_pairs(length, &count)) return NGHTTP2_ERR_NOMEM;
  return nghttp2_submit_headers(c->session, NGHTTP2_FLAG_NONE, stream, NULL, pairs, count, NULL);
}

EXPORT(trailers) int32_t h2_trailers(struct connection *c, int32_t stream, uint32_t length) {
  size_t count;
  if (!read_pairs(length, &count)) return NGHTTP2_ERR_NOMEM;
  return nghttp2_submit_trailer(c->session, stream, pairs, count);
}

/* Ends an answer that was to have trailers without any: an empty frame, since some clients take no empty trailers. */
EXPORT(finish) int32_t h2_finish(struct connection *c, int32_t stream) {
  return nghttp2_submit_data2(c->session, NGHTTP2_FLAG_END_STREAM, stream, &BODY);
}

/* There is more of a body. */
EXPORT(resume) void h2_resume(struct connection *c, int32_t stream) { nghttp2_session_resume_data(c->session, stream); }

/* Resets a stream that is not closed; a request that waits for the peer to take more is not sent then. */
EXPORT(reset) void h2_reset(struct connection *c, int32_t stream, uint32_t code) {
  nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, stream, code);
}

/* So much of a stream's body was read, and its peer may send as much again. */
EXPORT(consume) void h2_consume(struct connection *c, int32_t stream, uint32_t length) {
  nghttp2_session_consume_stream(c->session, stream, length);
}

EXPORT(ping) void h2_ping(struct connection *c) { nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL); }

/* Streams that come from now on are refused; those that are open go on when the code is 0. */
EXPORT(leave) void h2_leave(struct connection *c, uint32_t code) {
  if (code) nghttp2_session_terminate_session(c->session, code);
  else
    nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(c->session), code, NULL, 0);
}
