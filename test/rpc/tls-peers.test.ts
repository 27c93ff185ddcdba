import assert from "node:assert/strict";
import { test } from "node:test";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { explainTls } from "../../src/rpc/client/tls-failure.ts";
import { caller, failing, openPeers, spec, text } from "./client-harness.ts";
import { start } from "./harness.ts";
import { TEST_CERT, TEST_KEY } from "./tls-keys.ts";

const TLS = { cert: TEST_CERT, key: TEST_KEY };

test("a node calls peers with TLS and peers in plaintext side by side", async () => {
  await using secret = await start({ tls: TLS });
  await using plain = await start();
  const peers = createPeers({ tls: { ca: TEST_CERT } });
  try {
    for (
      const target of [
        `https://127.0.0.1:${secret.port}`,
        `https://localhost:${secret.port}`,
        `127.0.0.1:${plain.port}`,
      ]
    ) {
      const { output } = await peers.dial(target).run(spec("echo"), caller());
      assert.equal(text(output), "echo", target);
    }
    assert.deepEqual([secret.tasks.specs.length, plain.tasks.specs.length], [2, 1]);
  } finally {
    await peers.close();
  }
});

test("a peer whose certificate is not trusted is refused, with the cure, and not tried again", async () => {
  await using secret = await start({ tls: TLS });
  const peers = openPeers();
  try {
    const target = `https://127.0.0.1:${secret.port}`;
    await assert.rejects(
      peers.dial(target).run(spec(), caller()),
      failing("target_unreachable", /Cannot trust the certificate of https:.*rpc\.tlsCaFile/, (error) => {
        assert.equal(error.retryable, false);
        assert.deepEqual(error.data, { target, requestSent: false });
      }),
    );
    assert.equal(secret.tasks.specs.length, 0);
  } finally {
    await peers.close();
  }
});

test("a certificate of another host is refused", async () => {
  await using secret = await start({ tls: TLS });
  const { port } = await secret.server.listen({ host: "127.0.0.2", port: 0 });
  const peers = createPeers({ tls: { ca: TEST_CERT }, limits: { backoffMs: 2, maxBackoffMs: 10 } });
  try {
    const isRefusal = failing("target_unreachable", /Cannot trust the certificate of https:\/\/127\.0\.0\.2/);
    await assert.rejects(peers.dial(`https://127.0.0.2:${port}`).run(spec(), caller()), isRefusal);
    assert.equal(secret.tasks.specs.length, 0);
  } finally {
    await peers.close();
  }
});

test("TLS on one end only is told apart", async () => {
  await using secret = await start({ tls: TLS });
  await using plain = await start();
  const peers = openPeers({ connectTimeoutMs: 2000 });
  try {
    await assert.rejects(
      peers.dial(`https://127.0.0.1:${plain.port}`).run(spec(), caller()),
      failing("target_unreachable", /^No connection to https:.* check that a node listens there, with TLS$/),
    );
    await assert.rejects(
      peers.dial(`127.0.0.1:${secret.port}`).run(spec(), caller()),
      failing("target_unreachable", new RegExp(`or speak TLS: https://127\\.0\\.0\\.1:${secret.port}`)),
    );
  } finally {
    await peers.close();
  }
});

test("failed handshakes are told apart by what the runtimes say", () => {
  const explain = (message: string, code?: string) =>
    explainTls(Object.assign(new Error(message), code === undefined ? {} : { code }), "https://node:1");
  const expired = explain("certificate has expired", "CERT_HAS_EXPIRED");
  assert.match(expired!.message, /\(certificate has expired\); its operator must mend the certificate$/);
  assert.match(explain("invalid peer certificate: Expired")!.message, /operator must mend/);
  assert.match(explain("invalid peer certificate: UnknownIssuer")!.message, /rpc\.tlsCaFile/);
  assert.match(explain("unable to verify", "UNABLE_TO_VERIFY_LEAF_SIGNATURE")!.message, /rpc\.tlsCaFile/);
  assert.match(explain("ssl3_get_record:wrong version number", "EPROTO")!.message, /does not speak TLS .*write node:1/);
  assert.match(explain("received corrupt message of type InvalidContentType")!.message, /does not speak TLS/);
  assert.match(explain("tlsv1 alert protocol version", "ERR_SSL_TLSV1_ALERT")!.message, /^The TLS handshake with/);
  assert.equal(explain("connect ECONNREFUSED 127.0.0.1:1", "ECONNREFUSED"), undefined);
});
