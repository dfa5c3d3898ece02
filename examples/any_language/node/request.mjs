// Send one request with amqplib and wait for its outcome.
//
//     npm install amqplib
//     node request.mjs [IDEMPOTENCY_KEY]
//
// Exit codes: 0 succeeded, 1 ended otherwise, 3 not confirmed by the broker or connection lost, 4 no outcome in
// time. After 3 and 4 run again with the same key: the request is computed once.

import { createHash, randomBytes } from 'node:crypto';
import amqp from 'amqplib';

const KEY_NAMESPACE = Buffer.from('6f0e4f4c4d5b5d0a9f0b8c6f2d1c9a10', 'hex');
const TIMEOUT_MS = 30_000;

// The UUIDv5 of a key, or a new UUIDv7 without one.
function requestId(key) {
  const bytes = key
    ? createHash('sha1').update(KEY_NAMESPACE).update(key, 'utf8').digest().subarray(0, 16)
    : randomBytes(16);
  if (!key) bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | (key ? 0x50 : 0x70); // the version
  bytes[8] = (bytes[8] & 0x3f) | 0x80; // the variant
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function buildRequest(id) {
  const now = Date.now() / 1000;
  const image = { name: 'images', shape: [1, 64], datatype: 'FP32', data: Array(64).fill(0) };
  return {
    id,
    model: 'digits',
    class: 'interactive',
    submitted_at: now,
    deadline: now + TIMEOUT_MS / 1000,
    data: { inputs: [image] },
  };
}

// An exclusive queue belongs to this connection and is deleted with it. Its name is the reply address.
async function openReplyQueue(connection, id, onOutcome) {
  const channel = await connection.createChannel();
  const replyQueue = `straightline.reply.${randomBytes(12).toString('hex')}`;
  await channel.assertQueue(replyQueue, { exclusive: true, autoDelete: true, durable: false });
  await channel.bindQueue(replyQueue, 'straightline.replies', replyQueue);
  const arrived = (message) => {
    if (message?.properties.correlationId === id) onOutcome(JSON.parse(message.content));
  };
  await channel.consume(replyQueue, arrived, { noAck: true, exclusive: true });
  return replyQueue;
}

// Resolves when the broker has confirmed the request.
async function publish(connection, request, replyTo) {
  const channel = await connection.createConfirmChannel();
  let returned;
  channel.on('return', () => {
    returned = new Error('no queue is bound for this key'); // arrives before the confirm
  });
  await new Promise((resolve, reject) => {
    const options = {
      mandatory: true,
      persistent: true,
      type: 'straightline.request.v1',
      contentType: 'application/json',
      messageId: request.id,
      correlationId: request.id,
      replyTo,
    };
    const body = Buffer.from(JSON.stringify(request));
    channel.publish('straightline.requests', request.class, body, options, (refused) => {
      const error = refused ?? returned;
      if (error) reject(error);
      else resolve();
    });
    channel.on('error', reject);
    connection.on('close', () => reject(new Error('the connection was lost')));
  });
}

async function main() {
  const request = buildRequest(requestId(process.argv[2]));
  let connection;
  let outcome;
  let timer;
  try {
    connection = await amqp.connect(process.env.STRAIGHTLINE_BROKER_URL);
    const lost = new Promise((_, reject) => connection.on('error', reject));
    lost.catch(() => {});
    let arrived;
    const pushed = new Promise((resolve) => (arrived = resolve));
    const replyTo = await openReplyQueue(connection, request.id, arrived);
    await publish(connection, request, replyTo);
    const late = new Promise((resolve) => (timer = setTimeout(resolve, TIMEOUT_MS)));
    outcome = await Promise.race([pushed, late, lost]);
  } catch (error) {
    console.error(`${request.id} was not confirmed, or the connection was lost: ${error.message || error.code}`);
    return 3;
  } finally {
    clearTimeout(timer);
    await connection?.close().catch(() => {});
  }
  if (outcome === undefined) {
    console.error(`${request.id} has no outcome yet: run again with the same key`);
    return 4;
  }
  if (outcome.state !== 'succeeded') {
    // failed, rejected, expired, cancelled
    console.error(outcome.state, outcome.error_class, outcome.error);
    return 1;
  }
  // A large result is in the store: `result_ref` is its location.
  console.log('succeeded', JSON.stringify(outcome.result ?? outcome.result_ref));
  return 0;
}

process.exitCode = await main();
