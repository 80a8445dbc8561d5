import type { Section } from '../report/section.ts'
import type { Bench } from '../suite.ts'
export async function storeSuite(_bench: Bench): Promise<Section[]> { return [] }
