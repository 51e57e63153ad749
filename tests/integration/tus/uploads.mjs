// Uploads made files by tus-js-client, several at once, and says on its standard output when to do harm:
//
//   node uploads.mjs ENDPOINT COUNT AT_ONCE SEED
//
// One JSON line each: {"harm": n} when the n-th upload has reached a byte drawn for it, {"done": n, url, size, sha256}
// for each that the client takes for complete, {"failed": n, message} for one that it gave up.
import { createHash } from 'node:crypto'
import { Upload } from 'tus-js-client'

const [endpoint, count, atOnce, seed] = [process.argv[2], ...process.argv.slice(3).map(Number)]
const MIB = 1024 * 1024
const HEAD = Buffer.from('000000186674797069736f6d0000020069736f6d6d703431', 'hex') // of an MP4

// mulberry32: the same draws for the same seed.
let state = seed
function draw() {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
}

function film(size) {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at < size; at += 4) bytes.writeUInt32LE(Math.floor(draw() * 4294967296), Math.min(at, size - 4))
  HEAD.copy(bytes)
  return bytes
}

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

function upload(number) {
  const file = film(3 * MIB + Math.floor(draw() * 9 * MIB))
  const harmAt = draw() * file.length
  let harmed = false
  return new Promise((resolve) => {
    const one = new Upload(file, {
      endpoint,
      chunkSize: number % 3 === 0 ? 2 * MIB : Infinity,
      retryDelays: Array(200).fill(300),
      metadata: { filename: `film ${number}.mp4`, projectId: 'tus' },
      onProgress(sent) {
        if (harmed || sent < harmAt) return
        harmed = true
        say({ harm: number })
      },
      onError(error) {
        say({ failed: number, message: String(error) })
        resolve()
      },
      onSuccess() {
        say({ done: number, url: one.url, size: file.length, sha256: createHash('sha256').update(file).digest('hex') })
        resolve()
      },
    })
    one.start()
  })
}

let next = 0
async function work() {
  while (next < count) await upload(next++)
}
await Promise.all(Array.from({ length: atOnce }, work))
