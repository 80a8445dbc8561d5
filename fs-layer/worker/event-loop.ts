import koffi from 'koffi'
import { cFunctions } from '../c-library.ts'

/** What of this thread's libuv loop is needed to sleep in its place. */
export interface EventLoop {
  /** Its own epoll instance: readable when libuv has something to do, other than a timer. */
  readonly backendFd: number
  /** Until its next timer. Milliseconds; -1 without one; 0 when there is work that must not wait. */
  timeoutMs(): number
}

const node = cFunctions<{
  napi_get_uv_event_loop(env: unknown, into: [unknown]): number
  uv_backend_fd(loop: unknown): number
  uv_backend_timeout(loop: unknown): number
}>({
  napi_get_uv_event_loop: ['int', ['void *', koffi.out('void **')]],
  uv_backend_fd: ['int', ['void *']],
  uv_backend_timeout: ['int', ['void *']],
})

/** The loop of the calling thread. Node exports libuv's functions and Node-API's way to it. */
export function currentEventLoop(): EventLoop {
  const loop: [unknown] = [null]
  const status = node.napi_get_uv_event_loop(koffi.node.env, loop)
  if (status !== 0) throw new Error(`napi_get_uv_event_loop failed with status ${status}`)
  return { backendFd: node.uv_backend_fd(loop[0]), timeoutMs: () => node.uv_backend_timeout(loop[0]) }
}
