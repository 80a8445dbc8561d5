export type { Change, ChangeKind } from './view/changes.ts'
export type { NodeInfo, Principal, WriteOptions } from './view/node-info.ts'
export type { FsLayer, FsLayerOptions, ViewHandle, ViewSpec } from './worker/api.ts'
export { openFsLayer } from './worker/host.ts'
