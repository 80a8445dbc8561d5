/** The bytes are not a frame of this protocol. */
export class CodecError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'CodecError'
  }
}

export function exactly(payload: Buffer, length: number, type: string): Buffer {
  if (payload.length !== length) throw new CodecError(`${type} with ${payload.length} bytes instead of ${length}`)
  return payload
}
