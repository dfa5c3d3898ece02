// Send one request with amqplib, and wait for its outcome.
//
//     npm install amqplib
//     node request.mjs [IDEMPOTENCY_KEY]
//
// Exit codes: 0 answered, 1 refused or ended otherwise, 3 no broker, or it did not take the request or went
// away, 4 no outcome yet. After 3 and 4 the same key asks again, and nothing is computed twice.

import { createHash, randomBytes } from 'node:crypto';
import amqp from 'amqplib';

const KEYS = Buffer.from('6f0e4f4c4d5b5d0a9f0b8c6f2d1c9a10', 'hex');
const PATIENCE = 30_000; // milliseconds

// The id of an own key (UUIDv5), the same each time; without a key a new UUIDv7.
function idOf(key) {
  const bytes = key
    ? createHash('sha1').update(KEYS).update(key, 'utf8').digest().subarray(0, 16)
    : randomBytes(16);
  if (!key) bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | (key ? 0x50 : 0x70); // the version
  bytes[8] = (bytes[8] & 0x3f) | 0x80; // the variant
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function requestOf(id) {
  const now = Date.now() / 1000;
  const image = { name: 'images', shape: [1, 64], datatype: 'FP32', data: Array(64).fill(0) };
  return {
    id,
    model: 'digits',
    class: 'interactive',
    submitted_at: now,
    deadline: now + PATIENCE / 1000,
    data: { inputs: [image] },
  };
}

// Only this connection sees the queue, and it goes with it. Its name is its address.
async function openInbox(connection, id, onOutcome) {
  const channel = await connection.createChannel();
  const mine = `straightline.reply.${randomBytes(12).toString('hex')}`;
  await channel.assertQueue(mine, { exclusive: true, autoDelete: true, durable: false });
  await channel.bindQueue(mine, 'straightline.replies', mine);
  const arrived = (message) => {
    if (message?.properties.correlationId === id) onOutcome(JSON.parse(message.content));
  };
  await channel.consume(mine, arrived, { noAck: true, exclusive: true });
  return mine;
}

// Resolves when the broker has the request safe.
async function publish(connection, request, replyTo) {
  const channel = await connection.createConfirmChannel();
  let returned;
  channel.on('return', () => {
    returned = new Error('no queue takes requests here'); // comes before the confirm
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
  const request = requestOf(idOf(process.argv[2]));
  let connection;
  let outcome;
  let timer;
  try {
    connection = await amqp.connect(process.env.STRAIGHTLINE_BROKER_URL);
    const lost = new Promise((_, reject) => connection.on('error', reject));
    lost.catch(() => {});
    let arrived;
    const pushed = new Promise((resolve) => (arrived = resolve));
    const replyTo = await openInbox(connection, request.id, arrived);
    await publish(connection, request, replyTo);
    const late = new Promise((resolve) => (timer = setTimeout(resolve, PATIENCE)));
    outcome = await Promise.race([pushed, late, lost]);
  } catch (error) {
    console.error(`${request.id} was not taken, or is not heard of: ${error.message || error.code}`);
    return 3;
  } finally {
    clearTimeout(timer);
    await connection?.close().catch(() => {});
  }
  if (outcome === undefined) {
    console.error(`${request.id} has no outcome yet`);
    return 4;
  }
  if (outcome.state !== 'succeeded') {
    // failed, rejected, expired, cancelled
    console.error(outcome.state, outcome.error_class, outcome.error);
    return 1;
  }
  // A large result is not in the message: `result_ref` says where it lies.
  console.log('succeeded', JSON.stringify(outcome.result ?? outcome.result_ref));
  return 0;
}

process.exitCode = await main();
