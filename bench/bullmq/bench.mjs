// BullMQ as its own documentation uses it, measured for bench/redis_queue.py. Prints one line of JSON.
//
//   node bench.mjs PORT SPEC enqueue COUNT AT_ONCE   {"seconds"}: COUNT times `add`, at most AT_ONCE under way
//   node bench.mjs PORT SPEC fill COUNT              {"seconds"}: by addBulk, to be looked at by others
//   node bench.mjs PORT SPEC latency COUNT           {"seconds": [...]}: from before `add` until the function is entered
//   node bench.mjs PORT SPEC nothing COUNT           {"seconds"}: COUNT waiting jobs that do nothing, one at a time
//
// SPEC is the JSON that each job carries. The worker runs its function in its own process: it forks nothing.

import { Queue, Worker } from 'bullmq';

const [port, specification, what, count, atOnce] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const spec = JSON.parse(specification);
const total = Number(count);
const queue = new Queue('bench', { connection });
await queue.waitUntilReady();

const secondsSince = (start) => Number(process.hrtime.bigint() - start) / 1e9;

async function enqueue() {
  const start = process.hrtime.bigint();
  let left = total;
  const client = async () => {
    while (left-- > 0) await queue.add('render', spec);
  };
  await Promise.all(Array.from({ length: Number(atOnce) }, client));
  return secondsSince(start);
}

async function fill() {
  const start = process.hrtime.bigint();
  for (let done = 0; done < total; done += 500) {
    const size = Math.min(500, total - done);
    await queue.addBulk(Array.from({ length: size }, () => ({ name: 'render', data: spec })));
  }
  return secondsSince(start);
}

async function latency() {
  let entered = () => {};
  const worker = new Worker('bench', async () => entered(process.hrtime.bigint()), { connection });
  await worker.waitUntilReady();
  const waits = [];
  for (let sample = 0; sample < total; sample++) {
    await new Promise((resolve) => setTimeout(resolve, 200)); // the worker is idle again
    const moment = new Promise((resolve) => (entered = resolve));
    const start = process.hrtime.bigint();
    await queue.add('render', spec);
    waits.push(Number((await moment) - start) / 1e9);
  }
  await worker.close();
  return waits;
}

async function nothing() {
  await fill();
  let done = 0;
  let start;
  let ended;
  const end = new Promise((resolve) => (ended = resolve));
  const worker = new Worker('bench', async () => null, { connection });
  worker.on('completed', () => {
    if (++done === 1) start = process.hrtime.bigint();
    if (done === total) ended(secondsSince(start));
  });
  const seconds = await end;
  await worker.close();
  return (seconds * total) / (total - 1);
}

const seconds = await { enqueue, fill, latency, nothing }[what]();
await queue.close();
console.log(JSON.stringify({ seconds }));
