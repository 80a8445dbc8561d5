import type { MessageInitShape } from '@bufbuild/protobuf'
import type { NodeInfo, Principal as ViewPrincipal } from '../../fs-layer/index.ts'
import { type FileEntrySchema, FileKind, Principal } from '../../proto/index.ts'
import { invalid } from '../errors/croft-error.ts'
import { pathBytes } from './view-path.ts'

export const FILE_KINDS = {
  file: FileKind.FILE,
  directory: FileKind.DIRECTORY,
  symlink: FileKind.SYMLINK,
  fifo: FileKind.FIFO,
  socket: FileKind.SOCKET,
} as const

export function fileEntry(info: NodeInfo): MessageInitShape<typeof FileEntrySchema> {
  return {
    path: pathBytes(info.path),
    kind: FILE_KINDS[info.kind],
    size: BigInt(info.size),
    mode: info.mode & 0o7777,
    mtimeNs: BigInt(info.mtime) * 1_000_000_000n + BigInt(info.mtimeNsec),
    inode: BigInt(info.ino),
    links: info.nlink,
    ...(info.target === undefined ? {} : { symlinkTarget: pathBytes(info.target) }),
  }
}

/** Whoever says nothing asks as the commands inside do: the lesser right. */
export function parsePrincipal(principal: Principal): ViewPrincipal {
  switch (principal) {
    case Principal.UNSPECIFIED:
    case Principal.SANDBOX:
      return 'sandbox'
    case Principal.OWNER:
      return 'owner'
    default:
      throw invalid('principal', `is ${principal}, which is no principal`)
  }
}
