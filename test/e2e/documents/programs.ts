import type { Need } from '../../probes.ts'
import type { Block } from './blocks.ts'

/** Blocks that are run together, one after the other. */
export interface Program {
  readonly language: string
  readonly blocks: readonly Block[]
  readonly needs: readonly Need[]
}

/**
 * Shell blocks of a document go on where the one before ended, but for those with needs of their own; a block of
 * TypeScript goes on with the program before it unless it begins with an import; others stand alone.
 */
export function programsOf(blocks: readonly Block[]): Program[] {
  const programs: { language: string; blocks: Block[]; needs: readonly Need[] }[] = []
  for (const block of blocks) {
    if (block.notRun !== undefined) continue
    const { language, needs } = block
    const before = programs.findLast((program) => program.language === language && goesOn(block, program.needs))
    if (before === undefined) programs.push({ language, blocks: [block], needs })
    else before.blocks.push(block)
  }
  return programs
}

function goesOn(block: Block, needsBefore: readonly Need[]): boolean {
  if (block.language === 'sh') return block.needs.length === 0 && needsBefore.length === 0
  return block.language === 'ts' && !block.code.startsWith('import')
}

/** One module: all imports first, since they may stand nowhere else but at the top in what is read with pleasure. */
export function moduleOf(program: Program): string {
  return program.blocks.map((block) => `// line ${block.line}\n${block.code}`).join('\n')
}
