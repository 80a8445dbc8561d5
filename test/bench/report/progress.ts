/** One line that says what is being done; only on a terminal. */
export interface Progress {
  show(text: string): void
  clear(): void
}

export function createProgress(stream: NodeJS.WriteStream): Progress {
  if (!stream.isTTY) return { show: () => undefined, clear: () => undefined }
  return {
    show: (text) => void stream.write(`\r\u001b[K… ${text.slice(0, Math.max(10, (stream.columns ?? 80) - 3))}`),
    clear: () => void stream.write('\r\u001b[K'),
  }
}
