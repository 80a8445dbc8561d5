import { join } from 'node:path'
import { openFsLayer } from '../../fs-layer/index.ts'
import { Store } from '../../fs-layer/store/store.ts'

/** A process that serves one view, to be killed. Arguments: the directory of store, delta and mount; the base. */
const [dir = '', base = ''] = process.argv.slice(2)
await Store.open({ dir: join(dir, 'store') })
const layer = await openFsLayer({ storeDir: join(dir, 'store') })
const view = await layer.openView({
  id: 'killed',
  base,
  deltaDir: join(dir, 'delta'),
  rules: [{ pattern: '**', type: 'glob', level: 'write' }],
  owner: { uid: 0, gid: 0 },
})
await view.mount(join(dir, 'mnt'), { unprivileged: true })
process.stdout.write('ready\n')
