import assert from "node:assert/strict";
import { connect, createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { systemClock } from "../../src/core/mod.ts";
import { freePort, serveSockets, serveStreams, type TestServer } from "../plugins/external-servers.ts";
import { answer, bytes, caller, failing, frame, openPeers, refuse, runFrame, spec, text } from "./client-harness.ts";

async function using(
  server: TestServer,
  body: (peers: ReturnType<typeof openPeers>, target: string) => Promise<void>,
  limits: Parameters<typeof openPeers>[0] = {},
): Promise<void> {
  const peers = openPeers(limits);
  try {
    await body(peers, server.address);
  } finally {
    await peers.close();
    await server.kill();
  }
}

test("a target that is down is target_unreachable, and at once while the wait for the next attempt lasts", async () => {
  const target = `127.0.0.1:${await freePort()}`;
  const peers = openPeers({ backoffMs: 30_000, maxBackoffMs: 60_000 });
  const tasks = peers.dial(target);
  for (let i = 0; i < 3; i++) {
    await assert.rejects(
      tasks.run(spec(), caller()),
      failing("target_unreachable", /ECONNREFUSED.*next attempt/, (error) => {
        assert.equal(error.retryable, true);
        assert.equal(error.data["target"], target);
        assert.equal(error.data["requestSent"], false);
        assert(error.retryAfterMs! > 1000);
      }),
    );
  }
  await peers.close();
});

test("a refused connection is retried once after the session's wait", async () => {
  const port = await freePort();
  const peers = openPeers({ backoffMs: 20 });
  const started = performance.now();
  await assert.rejects(peers.dial(`127.0.0.1:${port}`).run(spec(), caller()), failing("target_unreachable"));
  assert(performance.now() - started >= 20);
  await peers.close();
});

test("a peer that accepts and says nothing is target_misbehaved after the connect timeout", async () => {
  await using(await serveSockets(() => {}), async (peers, target) => {
    await assert.rejects(peers.dial(target).run(spec(), caller()), failing("target_misbehaved", /within 40 ms/));
  }, { connectTimeoutMs: 40 });
});

for (
  const [what, reply] of [
    ["an HTTP/1.1 server", "HTTP/1.1 400 Bad Request\r\n\r\n"],
    ["random bytes", "\x00\xffnonsense that is long enough to be a frame of some kind"],
    ["a frame of absurd length", "\xff\xff\xff\x00\x00\x00\x00\x00\x00"],
  ] as const
) {
  test(`${what} instead of HTTP/2 is target_misbehaved, and harms no other call`, async () => {
    const good = await serveStreams((stream) => answer(stream, [runFrame()]));
    await using(await serveSockets((socket) => socket.end(Buffer.from(reply, "latin1"))), async (peers, target) => {
      await assert.rejects(
        peers.dial(target).run(spec(), caller()),
        failing("target_misbehaved", /does not speak HTTP\/2/),
      );
      assert.equal(text((await peers.dial(good.address).run(spec(), caller())).output), "ok");
    });
    await good.kill();
  });
}

test("a peer that closes the connection at once is target_unreachable", async () => {
  await using(await serveSockets((socket) => socket.end()), async (peers, target) => {
    await assert.rejects(peers.dial(target).run(spec(), caller()), failing("target_unreachable", /lost/));
  });
});

test("a peer that stalls is deadline_exceeded, and is told to stop", async () => {
  const reset = Promise.withResolvers<number>();
  const server = await serveStreams((stream) => stream.on("close", () => reset.resolve(stream.rstCode)));
  await using(server, async (peers, target) => {
    const deadlineAt = systemClock.now() + 40;
    await assert.rejects(
      peers.dial(target).run(spec(), caller({ deadlineAt })),
      failing("deadline_exceeded", /did not answer/),
    );
    assert.equal(await reset.promise, 8); // CANCEL
    const late = caller({ deadlineAt: systemClock.now() - 1 });
    await assert.rejects(peers.dial(target).run(spec(), late), failing("deadline_exceeded", /passed before/));
  });
});

test("the defaults bound calls without a deadline", async () => {
  await using(await serveStreams(() => {}), async (peers, target) => {
    const tasks = peers.dial(target);
    await assert.rejects(tasks.run(spec(), caller()), failing("deadline_exceeded", /60 ms/));
    await assert.rejects(tasks.get("x", caller()), failing("deadline_exceeded", /30 ms/));
  }, { taskTimeoutMs: 60, requestTimeoutMs: 30 });
});

test("answers that break the protocol are target_misbehaved and say how", async () => {
  const ok = runFrame();
  const cases: Record<string, [RegExp, Parameters<typeof serveStreams>[0]]> = {
    html: [/content type is "text\/html"/, (stream) => {
      stream.respond({ ":status": 200, "content-type": "text/html" });
      stream.end("<html>");
    }],
    http404: [/HTTP 404/, (stream) => stream.respond({ ":status": 404 }, { endStream: true })],
    http503: [/HTTP 503/, (stream) => stream.respond({ ":status": 503 }, { endStream: true })],
    noStatus: [/status is missing/, (stream) => answer(stream, [ok], { "x-other": "1" })],
    badStatus: [
      /invalid grpc-status|cannot be read|breaks/,
      (stream) => answer(stream, [ok], { "grpc-status": "many" }),
    ],
    badDetails: [
      /cannot be read/,
      (stream) => answer(stream, [], { "grpc-status": "2", "grpc-status-details-bin": "AP//" }),
    ],
    badMessage: [/cannot be read/, (stream) => answer(stream, [], { "grpc-status": "2", "grpc-message": "%zz" })],
    noMessage: [/no message came/, (stream) => answer(stream, [])],
    twoMessages: [/more than one message/, (stream) => answer(stream, [ok, ok])],
    cutHeader: [/incomplete/, (stream) => answer(stream, [ok.subarray(0, 3)])],
    cutMessage: [/incomplete/, (stream) => answer(stream, [ok.subarray(0, ok.length - 1)])],
    compressed: [/names no encoding/, (stream) => answer(stream, [frame(ok.subarray(5), 1)])],
    foreignCompression: [
      /"zstd"/,
      (stream) => answer(stream, [frame(ok.subarray(5), 1)], undefined, { "grpc-encoding": "zstd" }),
    ],
    flags: [/unknown flags 6/, (stream) => answer(stream, [frame(ok.subarray(5), 6)])],
    noProtobuf: [
      /is no velas\.sphere\.v1\.RunTaskResponse/,
      (stream) => answer(stream, [frame(Uint8Array.of(0xff, 0xff))]),
    ],
    reset: [/reset the call/, (stream) => stream.close(2)],
    resetMidway: [/reset the call/, (stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.write(ok.subarray(0, 7), () => stream.destroy(new Error("as the test wants it")));
    }],
  };
  for (const [name, [message, onStream]] of Object.entries(cases)) {
    await using(await serveStreams(onStream), async (peers, target) => {
      await assert.rejects(peers.dial(target).run(spec(), caller()), (error) => {
        const code = name === "badStatus" ? "target_failed" : "target_misbehaved";
        return failing(code, message)(error);
      });
    });
  }
});

test("an HTTP status that a proxy gives for a while is retryable", async () => {
  await using(
    await serveStreams((stream) => stream.respond({ ":status": 503 }, { endStream: true })),
    async (peers, target) => {
      await assert.rejects(
        peers.dial(target).run(spec(), caller()),
        failing("target_misbehaved", /503/, (error) => assert.equal(error.retryable, true)),
      );
    },
  );
});

test("a foreign server's status becomes the code that is nearest", async () => {
  const cases = [[Code.InvalidArgument, "invalid_argument"], [Code.Unknown, "target_failed"], [
    Code.Unavailable,
    "target_unreachable",
  ]] as const;
  for (const [status, code] of cases) {
    await using(await serveStreams((stream) => refuse(stream, status, "sp%C3%A4ter")), async (peers, target) => {
      await assert.rejects(peers.dial(target).run(spec(), caller()), failing(code, /^später$/));
    });
  }
});

test("a refused stream was never served, so it is sent again, and given up after three times", async () => {
  let seen = 0;
  const server = await serveStreams((stream) => ++seen < 3 ? stream.close(7) : answer(stream, [runFrame()]));
  await using(server, async (peers, target) => {
    assert.equal(text((await peers.dial(target).run(spec(), caller())).output), "ok");
    assert.equal(seen, 3);
    seen = -10;
    await assert.rejects(peers.dial(target).run(spec(), caller()), failing("overloaded", /reset/));
    assert.equal(seen, -7);
  });
});

test("after GOAWAY the call under way ends well, and the next has a new connection", async () => {
  const sessions = new Set<unknown>();
  const server = await serveStreams((stream) => {
    sessions.add(stream.session);
    if (sessions.size === 1) stream.session!.goaway(0);
    answer(stream, [runFrame()]);
  });
  await using(server, async (peers, target) => {
    for (let i = 0; i < 3; i++) assert.equal(text((await peers.dial(target).run(spec(), caller())).output), "ok");
    assert.equal(sessions.size, 2);
  });
});

test("GOAWAY with ENHANCE_YOUR_CALM is overloaded", async () => {
  const server = await serveStreams((stream) => stream.session!.destroy(undefined, 11));
  await using(server, async (peers, target) => {
    await assert.rejects(peers.dial(target).run(spec(), caller()), (error) => {
      // Deno's server closes the connection without saying why.
      return failing((error as { code: string }).code === "target_unreachable" ? "target_unreachable" : "overloaded")(
        error,
      );
    });
  });
});

for (const [size, fits] of [[999, true], [1000, true], [1001, false]] as const) {
  test(`of a message limit of 1000 bytes, ${size} ${fits ? "pass" : "are refused"}, both ways`, async () => {
    const frameBytes = frame(new Uint8Array(size).fill(0x7a)); // an unknown field that fills the message
    const padded = Buffer.concat([
      Buffer.from([0x12, 0x80 | (size - 3) & 0x7f, (size - 3) >> 7]),
      Buffer.alloc(size - 3),
    ]);
    padded.copy(frameBytes, 5);
    await using(await serveStreams((stream) => answer(stream, [frameBytes])), async (peers, target) => {
      const result = peers.dial(target).run(spec(), caller());
      if (fits) assert.equal((await result).output.length, size - 3);
      else await assert.rejects(result, failing("output_too_large", /1001 bytes.*1000/));
      // The request: spec (field 1, length in two bytes) with input (field 4, length in two bytes).
      const input = new Uint8Array(size - 6);
      const sent = peers.dial(target).run(spec(input), caller());
      if (fits) await sent;
      else await assert.rejects(sent, failing("input_too_large", /1001 bytes.*1000/));
    }, { maxMessageBytes: 1000 });
  });
}

test("an announced length over the limit is refused before anything of it comes", async () => {
  const server = await serveStreams((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));
  });
  await using(server, async (peers, target) => {
    await assert.rejects(peers.dial(target).run(spec(), caller()), failing("output_too_large", /4294967295/));
  });
});

test("an answer that trickles in single bytes is put together", async () => {
  const server = await serveStreams((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    const whole = runFrame({ id: "1", output: bytes("trickle ".repeat(20)) });
    let at = 0;
    const next = () => at === whole.length ? stream.end() : stream.write(whole.subarray(at, ++at), next);
    next();
  });
  await using(server, async (peers, target) => {
    assert.equal(text((await peers.dial(target).run(spec(), caller())).output), "trickle ".repeat(20));
  });
});

test("a peer that restarts is reached again at once", async () => {
  const first = await serveStreams((stream) => answer(stream, [runFrame({ output: bytes("first") })]));
  const peers = openPeers();
  const tasks = peers.dial(first.address);
  assert.equal(text((await tasks.run(spec(), caller())).output), "first");
  await first.kill();
  await assert.rejects(tasks.run(spec(), caller()), failing("target_unreachable"));
  const second = createServer();
  second.listen(first.port, "127.0.0.1");
  await once(second, "listening");
  second.close();
  await once(second, "close");
  const again = await serveOn(first.port);
  for (;;) {
    // The wait after the failed attempts is short, but it is there.
    const result = await tasks.run(spec(), caller()).catch(() => undefined);
    if (result !== undefined) {
      assert.equal(text(result.output), "ok");
      break;
    }
  }
  await peers.close();
  await again.kill();
});

async function serveOn(port: number): Promise<TestServer> {
  const inner = await serveStreams((stream) => answer(stream, [runFrame()]));
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const out = connect(inner.port, "127.0.0.1");
    for (const one of [socket, out]) {
      sockets.add(one);
      one.on("error", () => {});
    }
    socket.pipe(out).pipe(socket);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    address: `127.0.0.1:${port}`,
    async kill() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await inner.kill();
    },
  };
}

test("a connection lost in the middle repeats only what may be repeated", async () => {
  let seen = 0;
  const server = await serveStreams((stream) => {
    if (++seen % 2 === 1) stream.session!.destroy();
    else answer(stream, [runFrame()]);
  });
  await using(server, async (peers, target) => {
    const tasks = peers.dial(target);
    await assert.rejects(
      tasks.run(spec(), caller()),
      failing("target_unreachable", /./, (error) => assert.equal(error.data["requestSent"], true)),
    );
    assert.equal(seen, 1);
    seen = 0;
    assert.equal(text((await tasks.run(spec("x", { id: "named" }), caller())).output), "ok");
    assert.equal(seen, 2);
  });
});

test("a peer whose host is gone is found by a ping", async () => {
  const silent = await serveStreams(() => {});
  const sockets: Socket[] = [];
  const proxy = await serveSockets((socket) => {
    const out = connect(silent.port, "127.0.0.1");
    out.on("error", () => {});
    socket.pipe(out).pipe(socket);
    sockets.push(socket, out);
  });
  await using(proxy, async (peers, target) => {
    const reached = once(sockets as never, "never").catch(() => {});
    void reached;
    const result = peers.dial(target).run(spec(), caller());
    while (sockets.length < 2) await new Promise((resolve) => setImmediate(resolve));
    // Lets the handshake pass, then the network swallows everything.
    setTimeout(() => {
      for (const socket of sockets) {
        socket.unpipe();
        socket.pause();
      }
    }, 100);
    await assert.rejects(result, failing("target_unreachable", /did not answer a ping within 30 ms/));
  }, { pingIntervalMs: 40, pingTimeoutMs: 30 });
  for (const socket of sockets) socket.destroy();
  await silent.kill();
});

test("whatever a peer destroys, whenever it does, the call ends with an error of this node and the next one works", async () => {
  let step = 0;
  const server = await serveStreams((stream) => {
    const ok = runFrame();
    const headers = { ":status": 200, "content-type": "application/grpc" };
    const end = step % 2 === 0 ? () => stream.destroy() : () => stream.session?.destroy();
    switch (Math.floor(step / 2)) {
      case 0:
        return end();
      case 1:
        stream.respond(headers);
        return end();
      case 2:
        stream.respond(headers);
        return void stream.write(ok.subarray(0, 3), end);
      case 3:
        stream.respond(headers);
        return void stream.write(ok, end);
      case 4:
        stream.respond(headers, { waitForTrailers: true });
        // Not at once: Deno 2.8 crashes when a stream is destroyed in this event.
        stream.on("wantTrailers", () => setImmediate(end));
        return void stream.end(ok);
      default:
        answer(stream, [ok]);
    }
  });
  await using(server, async (peers, target) => {
    const tasks = peers.dial(target);
    for (step = 0; step < 10; step++) {
      await assert.rejects(tasks.run(spec(), caller()), (error) => {
        const { code } = error as { code: string };
        return failing(code === "target_misbehaved" ? "target_misbehaved" : "target_unreachable")(error);
      }, `step ${step}`);
    }
    assert.equal(text((await tasks.run(spec(), caller())).output), "ok");
  });
});
