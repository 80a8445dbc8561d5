import { EXTRA_DIR, type Project } from './project.ts'

/** One thing that people do in a project, as shell commands that run in its root. */
export interface Step {
  readonly name: string
  /** The most that it may take, in times of native. */
  readonly target: number
  /** Programs that it takes. */
  readonly needs: readonly string[]
  readonly run: string
  /** Before each run, not measured. */
  readonly prepare?: string
  /** The same command first, not measured: what is known by then is part of what is measured. */
  readonly warm?: boolean
  /** How native gets back to where it was. Who has it: every run of the other variants begins with a new view. */
  readonly undo?: string
}

export interface StepContext {
  readonly project: Project
  /** The compiled client. */
  readonly client: string
  /** A directory outside of every variant: inputs that are the same for all. */
  readonly inputs: string
  /** Among them a cache of npm's with all that the project's lock file names. */
  readonly hasNpmCache: boolean
  readonly quick: boolean
}

/** Those that the project has what it takes for. */
export function stepsFor(context: StepContext): Step[] {
  const { project } = context
  return [
    ...(project.commits === undefined ? [] : gitSteps(project.commits)),
    { name: 'find -ls, warm', target: 1.3, needs: ['find'], run: 'exec find . -ls', warm: true },
    { name: 'ripgrep, warm', target: 1.3, needs: ['rg'], run: SEARCH, warm: true },
    ...(project.directory === undefined ? [] : treeSteps(project.directory, context)),
    ...(project.hasNodeModules ? removalSteps() : []),
    ...installSteps(context),
    ...buildSteps(context),
    ...databaseSteps(context),
    ...blockSteps(context),
  ]
}

/** The step that needs a cache of npm's. */
export const INSTALL = 'npm ci from a local cache'

/** No match: the whole of every file is read. */
const SEARCH = "rg -uu --no-messages 'no[_]such[_]text[_]anywhere' . || true"

function gitSteps({ head, other }: NonNullable<Project['commits']>): Step[] {
  return [
    { name: 'git status, warm', target: 1.3, needs: ['git'], run: 'exec git status --porcelain', warm: true },
    {
      name: 'git checkout of another commit',
      target: 1.6,
      needs: ['git'],
      prepare: 'exec git status --porcelain',
      run: `exec git checkout -q -f ${other}`,
      undo: `git checkout -q -f ${head}`,
    },
  ]
}

function treeSteps(directory: string, { inputs }: StepContext): Step[] {
  const undo = 'rm -rf croft-unpacked croft-copy'
  return [
    {
      name: 'tar -x',
      target: 1.6,
      needs: ['tar'],
      prepare: `mkdir croft-unpacked; cat ${inputs}/package.tar`,
      run: `exec tar -xf ${inputs}/package.tar -C croft-unpacked`,
      undo,
    },
    {
      name: 'cp -a',
      target: 1.6,
      needs: ['cp'],
      prepare: `tar -cf - ${directory} | cat`,
      run: `exec cp -a ${directory} croft-copy`,
      undo,
    },
    {
      name: 'rm -rf of what was just written',
      target: 1.5,
      needs: ['rm'],
      prepare: `cp -a ${directory} croft-copy`,
      run: 'exec rm -rf croft-copy',
      undo,
    },
  ]
}

function removalSteps(): Step[] {
  return [
    {
      name: 'rm -rf of node_modules of the base',
      target: 1.5,
      needs: ['rm'],
      run: 'exec rm -rf node_modules',
      undo: 'cp -a "$PRISTINE/node_modules" .',
    },
    {
      name: 'rename of a directory of the base',
      target: 1.5,
      needs: ['mv'],
      run: 'exec mv node_modules croft-moved',
      undo: 'mv croft-moved node_modules',
    },
  ]
}

/** What the lock file names, from a cache outside of every variant, without a network. */
function installSteps({ hasNpmCache, inputs }: StepContext): Step[] {
  if (!hasNpmCache) return []
  const options = `--offline --ignore-scripts --no-audit --no-fund --cache ${inputs}/npm-cache`
  return [
    {
      name: INSTALL,
      target: 1.6,
      needs: ['npm'],
      prepare: 'mkdir croft-install && cp package.json package-lock.json croft-install',
      run: `cd croft-install && exec npm ci --silent ${options}`,
      undo: 'rm -rf croft-install',
    },
  ]
}

function buildSteps({ project, inputs }: StepContext): Step[] {
  const typeCheck: Step = {
    name: 'tsc',
    target: 1.1,
    needs: ['node'],
    // What it finds wrong is none of our business.
    run: 'node node_modules/typescript/bin/tsc -p . --noEmit --incremental false || true',
    warm: true,
  }
  const require: Step = {
    name: 'node importing modules',
    target: 1.1,
    needs: ['node'],
    run: `exec node --input-type=module -e "$(cat ${inputs}/import-all.js)" ${project.dependencies.join(' ')}`,
    warm: true,
  }
  const compileAll: Step = {
    name: 'python -m compileall',
    target: 1.1,
    needs: ['/usr/bin/python3'],
    run: `exec /usr/bin/python3 -m compileall -q ${EXTRA_DIR}/python`,
    undo: `find ${EXTRA_DIR}/python -name __pycache__ -prune -exec rm -rf {} +`,
  }
  const make: Step = {
    name: 'make of C sources',
    target: 1.1,
    needs: ['make', 'cc'],
    run: `exec make -s -j2 -C ${EXTRA_DIR}/c`,
    undo: `make -s -C ${EXTRA_DIR}/c clean`,
  }
  return [
    ...(project.hasTypeScript ? [typeCheck] : []),
    ...(project.dependencies.length > 0 && project.hasNodeModules ? [require] : []),
    ...(project.hasPython ? [compileAll] : []),
    make,
  ]
}

function databaseSteps({ inputs }: StepContext): Step[] {
  const undo = 'rm -f croft.db*'
  const step = (name: string, script: string): Step => ({
    name,
    target: 1.2,
    needs: ['sqlite3'],
    run: `exec sqlite3 croft.db < ${inputs}/${script}`,
    undo,
  })
  return [step('SQLite, rollback journal', 'rollback.sql'), step('SQLite, write-ahead log', 'wal.sql')]
}

function blockSteps({ client, quick }: StepContext): Step[] {
  const mebibytes = quick ? 32 : 256
  const write = `dd if=/dev/zero of=croft-big bs=1M count=${mebibytes} conv=fsync status=none`
  const undo = 'rm -f croft-big'
  const random = (way: 'r' | 'w') => `exec ${client} random croft-big ${quick ? 2000 : 20_000} ${way}`
  const block = (name: string, run: string, prepare?: string): Step => ({
    name,
    target: 1.2,
    needs: ['dd'],
    run,
    undo,
    ...(prepare === undefined ? {} : { prepare }),
  })
  const mixed = [
    ...['exec fio --name=mixed --filename=croft-fio --output=/dev/null --ioengine=psync --randseed=1'],
    ...[`--rw=randrw --rwmixread=70 --bs=8k --size=${quick ? 8 : 64}m --end_fsync=1`],
  ].join(' ')
  return [
    {
      name: 'fio, random reads and writes',
      target: 1.2,
      needs: ['fio'],
      run: mixed,
      undo: 'rm -f croft-fio',
    },
    block(`write ${mebibytes} MiB, fsync`, `exec ${write}`),
    block(`read ${mebibytes} MiB, just written`, 'exec dd if=croft-big of=/dev/null bs=1M status=none', write),
    block('random 4 KiB reads', random('r'), write),
    block('random 4 KiB writes', random('w'), write),
  ]
}
