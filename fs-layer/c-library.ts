import { platform } from 'node:os'
import koffi from 'koffi'

type KoffiType = Parameters<typeof koffi.out>[0] | ReturnType<typeof koffi.out>

/** Its result, and its parameters. */
type Declaration = readonly [result: KoffiType, parameters: readonly KoffiType[]]

type Functions = Record<string, (...args: never[]) => number>

/**
 * Functions of the C library of Linux, each as koffi makes them. To be called once for each thread, while its modules are
 * loaded: koffi throws where its thread is being terminated, and Node then aborts the whole process, so that nothing
 * may be looked up by a thread that serves already.
 *
 * Elsewhere than on Linux they are not there: a call throws.
 */
export function cFunctions<T extends { [K in keyof T]: Functions[string] }>(
  declarations: Readonly<Record<keyof T & string, Declaration>>,
): T {
  const names = Object.keys(declarations) as (keyof T & string)[]
  const library = platform() === 'linux' ? koffi.load(null) : null
  const found = names.map((name) => {
    const [result, parameters] = declarations[name]
    return [name, library?.func(name, result, [...parameters]) ?? notHere(name)]
  })
  return Object.fromEntries(found) as T
}

function notHere(name: string): () => never {
  return () => {
    throw new Error(`${name} is a function of Linux, and this is ${platform()}`)
  }
}
