import { Command } from 'commander'
import { addApply } from './commands/apply.ts'
import { addAudit } from './commands/audit.ts'
import { addKill, addLogs, addPs, addWait } from './commands/background.ts'
import { addBench } from './commands/bench.ts'
import { addChanges } from './commands/changes.ts'
import { addCheckpoints, addDiscard, addRollback } from './commands/checkpoints.ts'
import { addCompletion } from './commands/completion.ts'
import { addConfig } from './commands/config.ts'
import { addCp } from './commands/cp.ts'
import { addCreate } from './commands/create.ts'
import { addDiff } from './commands/diff.ts'
import { addDoctor } from './commands/doctor.ts'
import { addExec, addShell } from './commands/exec.ts'
import { addExport } from './commands/export.ts'
import { addExpose } from './commands/expose.ts'
import { addFork } from './commands/fork.ts'
import { addImport } from './commands/import.ts'
import { addJobs } from './commands/jobs.ts'
import { addLs } from './commands/ls.ts'
import { addMount } from './commands/mount.ts'
import { addPolicy } from './commands/policy.ts'
import { addPresets } from './commands/presets.ts'
import { addRm } from './commands/rm.ts'
import { addRun } from './commands/run.ts'
import { addServe } from './commands/serve.ts'
import { addSnapshot } from './commands/snapshot.ts'
import { addStats } from './commands/stats.ts'
import { addToken } from './commands/token.ts'
import { addTrail } from './commands/trail.ts'
import { addWatch } from './commands/watch.ts'
import { EXIT_HELP } from './exit-codes.ts'

/**
 * The whole command line. Parsing throws a `CommanderError` instead of ending the process; with `quiet` what is
 * wrong is not printed either.
 */
export function buildProgram(version: string, quiet = false): Command {
  const program = new Command('croft')
    .configureOutput({ writeErr: (text) => (quiet ? undefined : process.stderr.write(text)) })
    .description('Lets untrusted programs work on a copy-on-write view of your code, behind rules.')
    .version(version)
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError('(croft --help lists the commands and options)')
    .addHelpText('after', EXIT_HELP)
  const add = [
    addRun,
    addCreate,
    addExec,
    addShell,
    addPs,
    addLogs,
    addWait,
    addKill,
    addExpose,
    addLs,
    addCp,
    addChanges,
    addDiff,
    addApply,
    addExport,
    addImport,
    addJobs,
    addSnapshot,
    addFork,
    addCheckpoints,
    addRollback,
    addDiscard,
    addWatch,
    addStats,
    addTrail,
    addPolicy,
    addRm,
    addMount,
    addPresets,
    addServe,
    addConfig,
    addAudit,
    addToken,
    addDoctor,
    addBench,
    addCompletion,
  ]
  for (const addCommand of add) addCommand(program)
  for (const command of program.commands) command.exitOverride().showHelpAfterError(`(croft ${command.name()} --help)`)
  return program
}
