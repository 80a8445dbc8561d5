import { afterAll, beforeAll, beforeEach, describe } from 'vitest'
import type { RuntimeHouse } from '../../fixtures/runtime-house.ts'
import { has, needs } from '../../needs.ts'
import { attackCases } from './attack-cases.ts'
import type { Given } from './given.ts'
import { lifeCases } from './life-cases.ts'
import { limitCases } from './limit-cases.ts'
import { networkCases } from './network-cases.ts'
import { type OpenPlace, PLACES } from './places.ts'
import { processCases } from './process-cases.ts'
import { sessionCases } from './session-cases.ts'

/** The same of every runtime. What one of them has beside it is in a file of its own. */
describe.each(PLACES)('the $name runtime', ({ name, needs: needed, open }) => {
  let place: OpenPlace | undefined
  let shared: RuntimeHouse | undefined
  let given: Given | undefined

  beforeAll(async () => {
    if (!(await has(...needed))) return
    place = await open()
    const openHouse = place.openHouse
    shared = openHouse()
    const { agent } = await shared.launch()
    given = { name, house: shared, agent, viewPath: shared.viewPath, openHouse }
  })
  afterAll(async () => {
    await shared?.dispose()
    await place?.[Symbol.asyncDispose]()
  })
  beforeEach((context) => needs(context, ...needed))

  const ready = (): Given => {
    if (given === undefined) throw new Error('there is no sandbox')
    return given
  }
  processCases(ready)
  sessionCases(ready)
  attackCases(ready)
  networkCases(ready)
  limitCases(ready)
  lifeCases(ready)
})
