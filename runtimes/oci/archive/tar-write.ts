const BLOCK = 512
/** What eleven octal digits hold. */
const MAX_OCTAL = 8 ** 11 - 1

/** Of one regular file, in the form of POSIX.1-1988 (ustar). */
export function tarHeader(name: string, bytes: number): Buffer {
  const header = Buffer.alloc(BLOCK)
  header.write(name, 0, 100)
  header.write('0000644\0' + '0000000\0' + '0000000\0', 100)
  if (bytes <= MAX_OCTAL) header.write(bytes.toString(8).padStart(11, '0'), 124)
  else {
    // GNU's and everybody's way for larger ones: binary, with the first bit set.
    header[124] = 0x80
    header.writeBigUInt64BE(BigInt(bytes), 128)
  }
  header.write('00000000000\0', 136)
  header.write('        0', 148)
  header.write('ustar\x0000', 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}

/** What a file is filled up with to whole blocks. */
export function tarPadding(bytes: number): Buffer {
  return Buffer.alloc((BLOCK - (bytes % BLOCK)) % BLOCK)
}

export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK)
}
