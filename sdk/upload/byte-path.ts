/**
 * Names on disk are bytes. Here they travel as strings of one code unit per byte (latin1), so that any name
 * goes through unharmed, and are turned back where the kernel or a person is to read them.
 */
export type BytePath = string

export function fromText(text: string): BytePath {
  return Buffer.from(text, 'utf8').toString('latin1')
}

export function fromBytes(bytes: Uint8Array): BytePath {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

export function toBytes(path: BytePath): Buffer {
  return Buffer.from(path, 'latin1')
}

/** For messages: bytes that are no UTF-8 show as U+FFFD. */
export function toText(path: BytePath): string {
  return toBytes(path).toString('utf8')
}
