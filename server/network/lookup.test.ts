import { expect, it } from 'vitest'
import { deferred } from '../concurrency/deferred.ts'
import { hostLookup } from './lookup.ts'

it('no more names are looked up at once than may be, and each of them once', async () => {
  const asked: string[] = []
  const answers = new Map<string, (addresses: readonly string[]) => void>()
  const look = hostLookup(2, (name) => {
    asked.push(name)
    const { promise, resolve } = deferred<readonly string[]>()
    answers.set(name, resolve)
    return promise
  })
  const [first, again, second, third] = [look('a'), look('a'), look('b'), look('c')]
  expect(asked).toEqual(['a', 'b'])
  answers.get('a')?.(['192.0.2.1'])
  expect(await Promise.all([first, again])).toEqual([['192.0.2.1'], ['192.0.2.1']])
  answers.get('b')?.([])
  expect(await second).toEqual([])
  answers.get('c')?.(['192.0.2.3'])
  expect(await third).toEqual(['192.0.2.3'])
  expect(asked).toEqual(['a', 'b', 'c'])
})

it('a name that fails makes room too, and is asked for anew', async () => {
  let fails = true
  const look = hostLookup(1, async () => {
    if (fails) throw new Error('ENOTFOUND')
    return ['192.0.2.1']
  })
  await expect(look('a')).rejects.toThrow('ENOTFOUND')
  fails = false
  expect(await look('a')).toEqual(['192.0.2.1'])
})

it('what the host has in its own table is found', async () => {
  expect(await hostLookup(1)('localhost')).toContain('127.0.0.1')
})
