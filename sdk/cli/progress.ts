import { Presets, SingleBar } from 'cli-progress'
import type { ExportProgress } from '../export.ts'
import type { ImageProgress } from '../images.ts'
import type { UploadProgress } from '../upload/upload.ts'

/**
 * A bar on stderr for an upload, and after it for the image that is fetched; does nothing where that is no terminal, or
 * with `quiet`.
 */
export function makingBar(quiet: boolean): {
  onProgress: (progress: UploadProgress) => void
  onImage: (progress: ImageProgress) => void
  stop: () => void
} {
  if (quiet || !process.stderr.isTTY) {
    return { onProgress: () => undefined, onImage: () => undefined, stop: () => undefined }
  }
  const bar = new SingleBar(
    {
      format: '{phase} [{bar}] {percentage}% {what}',
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
      barsize: 30,
    },
    Presets.rect,
  )
  let phase: string | undefined
  const show = (now: string, bytes: number, totalBytes: number, what: string) => {
    const total = Math.max(totalBytes, 1)
    if (now !== phase) {
      bar.start(total, 0, { phase: now, what })
      phase = now
    }
    bar.setTotal(total)
    bar.update(Math.min(bytes, total), { phase: now, what })
  }
  return {
    onProgress: ({ phase: now, bytes, total, files }) => show(now, bytes, total?.bytes ?? 0, `${files} files`),
    onImage: ({ phase: now, bytes, totalBytes }) =>
      show(now, bytes, totalBytes, `of the image, ${Math.ceil(totalBytes / 2 ** 20)} MiB`),
    stop: () => bar.stop(),
  }
}

/** A bar on stderr for an archive: how much of the files has been read. */
export function exportBar(
  quiet: boolean,
  what = 'export',
): { onProgress: (progress: ExportProgress) => void; stop: () => void } {
  if (quiet || !process.stderr.isTTY) return { onProgress: () => undefined, stop: () => undefined }
  const bar = new SingleBar(
    {
      format: `${what} [{bar}] {percentage}% {mebibytes} MiB`,
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
      barsize: 30,
    },
    Presets.rect,
  )
  let started = false
  return {
    onProgress({ contentsRead, contentsBytes, bytes }) {
      const payload = { mebibytes: (bytes / 2 ** 20).toFixed(1) }
      if (!started) bar.start(Math.max(contentsBytes, 1), 0, payload)
      started = true
      bar.update(Math.min(contentsRead, contentsBytes), payload)
    },
    stop: () => bar.stop(),
  }
}

/** A bar on stderr for an archive that is sent; what comes from a pipe has no end that is known. */
export function importBar(quiet: boolean): {
  onProgress: (progress: { readonly bytes: number; readonly totalBytes: number | undefined }) => void
  stop: () => void
} {
  const bar = exportBar(quiet, 'import')
  return {
    onProgress: ({ bytes, totalBytes }) =>
      bar.onProgress({ contentsRead: bytes, contentsBytes: totalBytes ?? bytes, bytes }),
    stop: bar.stop,
  }
}
