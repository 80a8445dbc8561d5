export type { Change, ChangeKind } from './view/changes.ts'
export type { FsLayer, FsLayerOptions, NodeInfo, Principal, ViewHandle, ViewSpec } from './worker/api.ts'
export { openFsLayer } from './worker/host.ts'
