export type { Change, ChangeKind } from './view/changes.ts'
export type { NodeInfo, Principal } from './view/node-info.ts'
export type { FsLayer, ViewHandle } from './worker/api.ts'
export { openFsLayer } from './worker/host.ts'
