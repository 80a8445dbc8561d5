/** Things by what they contain and are called, each to be taken once: one of the same name where there is one. */
export class Pool<T> {
  readonly #byContents = new Map<string, Map<string, T[]>>()

  add(contents: string, name: string, thing: T): void {
    const byName = this.#byContents.get(contents)
    const named = byName?.get(name)
    if (named !== undefined) named.push(thing)
    else if (byName !== undefined) byName.set(name, [thing])
    else this.#byContents.set(contents, new Map([[name, [thing]]]))
  }

  take(contents: string, name: string): T | undefined {
    const byName = this.#byContents.get(contents)
    if (byName === undefined) return undefined
    const [any = name] = byName.keys()
    const found = byName.has(name) ? name : any
    const named = byName.get(found)
    const thing = named?.pop()
    if (named?.length === 0) byName.delete(found)
    if (byName.size === 0) this.#byContents.delete(contents)
    return thing
  }

  *rest(): Generator<T> {
    for (const byName of this.#byContents.values()) for (const named of byName.values()) yield* named
  }
}
