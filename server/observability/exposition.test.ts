import { expect, it } from 'vitest'
import { Counter, expose, Histogram, Reading } from './exposition.ts'

it('a counter has a line for each set of labels, with its text escaped', () => {
  const counter = new Counter('calls_total', 'Those that\nare over.')
  counter.add({ method: 'A', code: 'OK' })
  counter.add({ method: 'A', code: 'OK' }, 2)
  counter.add({ method: 'a"\\\n', code: 'B' })
  expect(expose([counter])).toBe(
    '# HELP calls_total Those that\\nare over.\n# TYPE calls_total counter\n' +
      'calls_total{method="A",code="OK"} 3\ncalls_total{method="a\\"\\\\\\n",code="B"} 1\n',
  )
})

it('a histogram counts what is at most a bound under it and all above', () => {
  const seconds = new Histogram('s', 'h', [1, 2])
  for (const value of [0.5, 1, 1.5, 3]) seconds.observe({}, value)
  expect(expose([seconds])).toContain(
    's_bucket{le="1"} 2\ns_bucket{le="2"} 3\ns_bucket{le="+Inf"} 4\ns_sum 6\ns_count 4\n',
  )
})

it('a reading is made when it is asked for, and may be no number', () => {
  let value = 1
  const gauge = new Reading('gauge', 'g', 'h', () => value)
  expect(expose([gauge])).toContain('\ng 1\n')
  value = Number.NaN
  expect(expose([gauge])).toContain('\ng NaN\n')
  value = Number.POSITIVE_INFINITY
  expect(expose([gauge])).toContain('\ng +Inf\n')
})
