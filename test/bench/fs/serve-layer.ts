import { openFsLayer } from '../../../fs-layer/index.ts'
import type { Hash } from '../../../fs-layer/store/objects.ts'
import { Store } from '../../../fs-layer/store/store.ts'
import type { ViewHandle } from '../../../fs-layer/worker/api.ts'
import { logToStderr, OWNER, RULES, type ServedViews, storeDirOf } from './served-views.ts'

/** As the server does it: from a thread of its own. */
export async function serveLayer(base: Hash, home: string): Promise<ServedViews> {
  const store = await Store.open({ dir: storeDirOf(home) })
  const layer = await openFsLayer({ storeDir: store.dir, onLog: logToStderr })
  const views = new Map<string, ViewHandle>()
  return {
    async open({ view, target, device }, deltaDir) {
      const handle = await layer.openView({ id: view, base, deltaDir, rules: RULES, owner: OWNER })
      views.set(view, handle)
      await handle.mount(target, { device, unprivileged: true })
    },
    async close(view) {
      await views.get(view)?.close()
      views.delete(view)
    },
    counts: () => {
      throw new Error('the thread that serves does not tell its counts')
    },
    async [Symbol.asyncDispose]() {
      await layer[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
    },
  }
}
