import { createDeflate } from 'node:zlib'

/**
 * One hunk of a binary patch in git's form: its kind and size, and its bytes, deflated, in lines of up to 52 bytes in
 * base 85, each behind a letter for its length. Read and told in pieces, whatever the size.
 */
export async function* binaryHunk(size: number, bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield Buffer.from(`literal ${size}\n`)
  const deflate = createDeflate()
  const feeding = feed(bytes, deflate)
  let rest = Buffer.alloc(0)
  try {
    for await (const chunk of deflate as AsyncIterable<Buffer>) {
      const ready = Buffer.concat([rest, chunk])
      const whole = ready.length - (ready.length % LINE_BYTES)
      if (whole > 0) yield lines(ready.subarray(0, whole))
      rest = Buffer.from(ready.subarray(whole))
    }
    await feeding
  } finally {
    deflate.destroy()
  }
  if (rest.length > 0) yield lines(rest)
  yield Buffer.from('\n')
}

const LINE_BYTES = 52
const ALPHABET = Buffer.from('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~')

type Deflate = ReturnType<typeof createDeflate>

/** A source that fails ends the reading too. */
async function feed(bytes: AsyncIterable<Buffer>, deflate: Deflate): Promise<void> {
  try {
    for await (const chunk of bytes) {
      if (deflate.destroyed) return
      if (!deflate.write(chunk)) await drained(deflate)
    }
    deflate.end()
  } catch (error) {
    deflate.destroy(error as Error)
  }
}

function drained(deflate: Deflate): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      deflate.off('drain', done)
      deflate.off('close', done)
      resolve()
    }
    deflate.on('drain', done)
    deflate.on('close', done)
  })
}

function lines(bytes: Buffer): Buffer {
  const all: Buffer[] = []
  for (let at = 0; at < bytes.length; at += LINE_BYTES) all.push(line(bytes.subarray(at, at + LINE_BYTES)))
  return Buffer.concat(all)
}

function line(bytes: Buffer): Buffer {
  const words = Math.ceil(bytes.length / 4)
  const text = Buffer.allocUnsafe(words * 5 + 2)
  text[0] = bytes.length <= 26 ? 64 + bytes.length : 96 + bytes.length - 26
  for (let word = 0; word < words; word++) {
    let value = 0
    for (let byte = 0; byte < 4; byte++) value = value * 256 + (bytes[word * 4 + byte] ?? 0)
    for (let digit = 5; digit > 0; digit--) {
      text[word * 5 + digit] = ALPHABET[value % 85] ?? 0
      value = Math.floor(value / 85)
    }
  }
  text[text.length - 1] = 10
  return text
}
