import { xattrBytes, xattrRoom } from '../delta/extra-room.ts'
import type { Inode } from '../delta/inode.ts'
import { XATTRS_MAX_BYTES } from '../delta/limits.ts'
import type { Usage } from '../delta/usage.ts'
import { EEXIST, EINVAL, ENODATA, ENOSPC, EOPNOTSUPP, EPERM, ERANGE } from '../protocol/errno.ts'
import type { ByteString } from '../protocol/filesystem.ts'
import { stampChange } from './stamp.ts'

/** Extended attributes of the user's (xattr(7)); there are no others. */
const XATTR_CREATE = 1
const XATTR_REPLACE = 2
const NAME_MAX_BYTES = 255

/** The kernel asks for security attributes at every new file: there is none, rather than no such thing. */
export function checkXattrName(name: ByteString): void {
  if (name.startsWith('security.')) throw ENODATA
  if (!name.startsWith('user.')) throw EOPNOTSUPP
  if (name === 'user.') throw EINVAL
}

export function getXattr(inode: Inode, name: ByteString): Buffer {
  const value = inode.xattrs?.get(name)
  if (value === undefined) throw ENODATA
  return value
}

export function setXattr(inode: Inode, name: ByteString, value: Buffer, flags: number, usage: Usage): void {
  if (!name.startsWith('user.')) throw EOPNOTSUPP
  if (name === 'user.') throw EINVAL
  if (name.length > NAME_MAX_BYTES) throw ERANGE
  // User attributes are for regular files and directories.
  if (!inode.isFile && !inode.isDirectory) throw EPERM
  const had = inode.xattrs?.has(name) ?? false
  if (had && flags & XATTR_CREATE) throw EEXIST
  if (!had && flags & XATTR_REPLACE) throw ENODATA
  const before = xattrBytes(inode)
  const replaced = inode.xattrs?.get(name)
  const total = before + value.length + (replaced === undefined ? name.length : -replaced.length)
  if (total > XATTRS_MAX_BYTES) throw ENOSPC
  usage.needBytes(xattrRoom(total) - xattrRoom(before))
  inode.xattrs ??= new Map()
  inode.xattrs.set(name, Buffer.from(value))
  stampChange(inode)
}

export function removeXattr(inode: Inode, name: ByteString): void {
  checkXattrName(name)
  if (!inode.xattrs?.delete(name)) throw ENODATA
  stampChange(inode)
}
