import koffi from 'koffi'

/** What of this thread's libuv loop is needed to sleep in its place. */
export interface EventLoop {
  /** Its own epoll instance: readable when libuv has something to do, other than a timer. */
  readonly backendFd: number
  /** Until its next timer. Milliseconds; -1 without one; 0 when there is work that must not wait. */
  timeoutMs(): number
}

/** The loop of the calling thread. Node exports libuv's functions and Node-API's way to it. */
export function currentEventLoop(): EventLoop {
  const node = koffi.load(null)
  const getLoop = node.func('napi_get_uv_event_loop', 'int', ['void *', koffi.out('void **')])
  const backendFd = node.func('uv_backend_fd', 'int', ['void *'])
  const backendTimeout = node.func('uv_backend_timeout', 'int', ['void *'])
  const loop: [unknown] = [null]
  const status = getLoop(koffi.node.env, loop)
  if (status !== 0) throw new Error(`napi_get_uv_event_loop failed with status ${status}`)
  return { backendFd: backendFd(loop[0]), timeoutMs: () => backendTimeout(loop[0]) }
}
