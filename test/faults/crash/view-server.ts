import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { openFsLayer } from '../../../fs-layer/index.ts'
import { Store } from '../../../fs-layer/store/store.ts'

/**
 * A process that serves one view, to be killed. Arguments: where to mount it, the base, and a quota of bytes or nothing.
 * The first line on standard input is the directory of store and delta, further ones are `sync`, `unmount` or `close`; it
 * repeats each when it has done what it says.
 */
const [mount = '', base = '', quotaBytes = ''] = process.argv.slice(2)
const orders = createInterface(process.stdin)[Symbol.asyncIterator]()
const { value: dir } = (await orders.next()) as { value: string | undefined }
if (dir !== undefined) await serve(dir)

async function serve(dir: string): Promise<void> {
  await Store.open({ dir: join(dir, 'store') })
  const layer = await openFsLayer({
    storeDir: join(dir, 'store'),
    // Full every few syncs, so that crashes find it at every stage.
    syncLogBytes: 64 * 1024,
    onLog: (level, message, fields) => {
      if (level !== 'info') process.stderr.write(`${level}: ${message} ${JSON.stringify(fields)}\n`)
    },
  })
  const view = await layer.openView({
    id: 'killed',
    base,
    deltaDir: join(dir, 'delta'),
    rules: [{ pattern: '**', type: 'glob', level: 'write' }],
    owner: { uid: 0, gid: 0 },
    quota: quotaBytes === '' ? {} : { bytes: Number(quotaBytes) },
  })
  await view.mount(mount, { unprivileged: true })
  say(dir)
  for (let order = await orders.next(); order.done !== true; order = await orders.next()) {
    if (order.value === 'sync') await view.sync()
    else if (order.value === 'unmount') await view.unmount()
    else if (order.value === 'close') await view.close()
    say(order.value)
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
