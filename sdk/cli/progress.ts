import { Presets, SingleBar } from 'cli-progress'
import type { ExportProgress } from '../export.ts'
import type { UploadProgress } from '../upload/upload.ts'

/** A bar on stderr for an upload; does nothing where that is no terminal, or with `quiet`. */
export function uploadBar(quiet: boolean): { onProgress: (progress: UploadProgress) => void; stop: () => void } {
  if (quiet || !process.stderr.isTTY) return { onProgress: () => undefined, stop: () => undefined }
  const bar = new SingleBar(
    {
      format: '{phase} [{bar}] {percentage}% {files} files',
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
      barsize: 30,
    },
    Presets.rect,
  )
  let phase: UploadProgress['phase'] | undefined
  return {
    onProgress(progress) {
      const total = Math.max(progress.total?.bytes ?? 0, 1)
      const payload = { phase: progress.phase, files: progress.files }
      if (progress.phase !== phase) {
        bar.start(total, 0, payload)
        phase = progress.phase
      }
      bar.setTotal(total)
      bar.update(Math.min(progress.bytes, total), payload)
    },
    stop: () => bar.stop(),
  }
}

/** A bar on stderr for an archive: how much of the files has been read. */
export function exportBar(quiet: boolean): { onProgress: (progress: ExportProgress) => void; stop: () => void } {
  if (quiet || !process.stderr.isTTY) return { onProgress: () => undefined, stop: () => undefined }
  const bar = new SingleBar(
    {
      format: 'export [{bar}] {percentage}% {mebibytes} MiB',
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
