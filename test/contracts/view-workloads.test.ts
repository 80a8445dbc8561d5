import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { has, needs } from '../needs.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
let project: string
let mounted: MountedView

/** A project with a history, sources and dependencies, as the base of a view. */
beforeAll(async () => {
  if (!(await has('root', 'fuse', 'git'))) return
  project = fs.mkdtempSync(join(tmpdir(), 'croft-project-'))
  sh(project, PROJECT)
  fs.cpSync(join(repository, 'node_modules/zod'), join(project, 'node_modules/zod'), { recursive: true })
  mounted = await mountedView({ base: project, unprivileged: true })
}, 60_000)

afterAll(async () => {
  await mounted?.[Symbol.asyncDispose]()
  if (project !== undefined) fs.rmSync(project, { recursive: true })
})

beforeEach((context) => needs(context, 'root', 'fuse', 'git'))

describe('on a view, as on a disk', () => {
  it('git sees a clean tree, commits, branches, checks out, stashes, merges, collects and verifies', () => {
    const printed = view(`
      git status --porcelain
      git checkout -q -b work && echo '/* change */' >> src/main.c && git commit -qam change
      git checkout -q main && git log --oneline | wc -l
      git stash list; echo dirty >> README.md; git stash -q; git stash pop -q; git diff --stat | tail -1
      git checkout -q -- README.md && git merge -q work && git log -1 --format=%s
      git gc -q && git fsck --no-progress --no-dangling && git status --porcelain && echo clean`)
    expect(printed).toBe('1\n 1 file changed, 1 insertion(+)\nchange\nclean\n')
  })

  it('make builds with cc, runs, and builds nothing the second time', async (context) => {
    await needs(context, 'make', 'cc')
    expect(view('make -s && ./main && make -s && make')).toMatch(/hello\n.*up to date/s)
  })

  it('sqlite keeps a database with a rollback journal and with a write-ahead log', async (context) => {
    await needs(context, 'sqlite3')
    for (const mode of ['delete', 'wal']) {
      const printed = view(`sqlite3 ${mode}.db "pragma journal_mode=${mode}; create table t(x);
        with recursive n(i) as (select 1 union all select i+1 from n where i<2000) insert into t select i from n;
        update t set x=x+1; delete from t where x%2; pragma integrity_check; select count(*) from t;"`)
      expect(printed).toBe(`${mode}\nok\n1000\n`)
    }
  })

  it('python compiles, imports, maps files and locks them', async (context) => {
    await needs(context, 'python3')
    expect(
      view(`python3 -m compileall -q lib && python3 -c "
import sys; sys.path.insert(0, 'lib')
import tool, mmap, fcntl, os, tempfile
f = open('mapped', 'w+b'); f.truncate(100000); m = mmap.mmap(f.fileno(), 0); m[50000:50005] = b'bytes'; m.flush()
print(tool.answer(), open('mapped','rb').read()[50000:50005], os.path.getsize('mapped'))
fcntl.flock(f, fcntl.LOCK_EX); fcntl.lockf(f, fcntl.LOCK_EX); print(os.statvfs('.').f_namemax)
"`),
    ).toBe("42 b'bytes' 100000\n255\n")
  })

  it('node requires modules and runs scripts', () => {
    expect(view(`node -e "const {z}=require('zod'); console.log(z.string().parse('ok'))"`)).toBe('ok\n')
  })

  it('npm packs the project and installs the package', () => {
    expect(
      view(
        'npm pack --silent && mkdir consumer && cd consumer && npm init -y >/dev/null && npm install --silent --offline ../project-1.0.0.tgz && ls node_modules',
      ),
    ).toBe('project-1.0.0.tgz\nproject\n')
  })

  it('tsc type-checks and emits', () => {
    const tsc = join(repository, 'node_modules/.bin/tsc')
    expect(
      view(
        `mkdir ts && echo 'export const x: number = 1' > ts/a.ts && ${tsc} --outDir ts/out --module nodenext ts/a.ts && cat ts/out/a.js`,
      ),
    ).toContain('exports.x = 1')
  })

  it('tar and cp copy trees with links, modes and times', () => {
    expect(
      view(`cp -a node_modules copy && diff -r node_modules copy && tar cf t.tar node_modules && mkdir x && tar xf t.tar -C x
        (cd node_modules && find . -printf '%p %y %m %Ts %l\\n' | sort) > a
        (cd x/node_modules && find . -printf '%p %y %m %Ts %l\\n' | sort) > b
        cmp a b && echo same`),
    ).toBe('same\n')
  })

  it('rm -rf takes away a directory of the base, and making it again shows nothing of the old one', () => {
    expect(
      view('rm -rf node_modules/zod && ls node_modules; mkdir node_modules/zod && ls -A node_modules/zod | wc -l'),
    ).toBe('0\n')
  })

  it('a directory of the base moves with all in it, and its files keep their inode numbers', () => {
    expect(
      view(
        'stat -c %i lib/tool.py > before; mv lib moved; stat -c %i moved/tool.py | cmp - before && ls moved; ls -d lib || true',
      ),
    ).toBe('__pycache__\nsub\ntool.py\n')
  })

  it('a file that is open stays readable and writable while it is replaced and removed', async (context) => {
    await needs(context, 'python3')
    expect(
      view(`python3 -c "
import os
f = open('README.md', 'r+b'); before = f.read()
os.rename('src/main.c', 'README.md'); f.seek(0); assert f.read() == before
f.write(b'x' * 100000); f.flush(); assert os.fstat(f.fileno()).st_nlink == 0 and os.fstat(f.fileno()).st_size == len(before) + 100000
g = open('README.md', 'rb'); os.unlink('README.md'); assert b'hello' in g.read(); print('ok')
"`),
    ).toBe('ok\n')
  })

  it('many writers append without losing a line', () => {
    expect(
      view(
        'for w in 1 2 3 4; do (for i in $(seq 500); do echo "$w $i" >> log; done) & done; wait; sort -u log | wc -l',
      ),
    ).toBe('2000\n')
  })

  it('a directory of 20,000 names is listed whole while names come and go', async (context) => {
    await needs(context, 'python3')
    expect(
      view(`python3 -c "
import os
os.mkdir('many')
for i in range(20000): open('many/%d' % i, 'w').close()
seen = set()
with os.scandir('many') as it:
    for n, e in enumerate(it):
        seen.add(e.name)
        if n < 5000: os.unlink('many/' + e.name) if int(e.name) % 2 else open('many/new%d' % n, 'w').close()
print(all(str(i) in seen for i in range(20000)), len(os.listdir('many')))
" && rm -rf many && ls -d many 2>&1 | grep -c 'No such'`),
    ).toMatch(/^True \d+\n1\n$/)
  })

  it('a large file of the base is written, appended, copied into and cut, while another is read', async (context) => {
    await needs(context, 'python3')
    expect(
      view(`python3 -c "
import os, threading
size = os.path.getsize('large')
def write(at, what):
    f = os.open('large', os.O_RDWR); os.pwrite(f, what, at); os.close(f)
jobs = [threading.Thread(target=write, args=(n * 1000000, b'%02d' % n)) for n in range(8)]
[j.start() for j in jobs]; read = open('package.json').read(); [j.join() for j in jobs]
open('large', 'ab').write(b'end')
data = open('large', 'rb').read()
print(len(data) - size, all(data[n * 1000000:][:2] == b'%02d' % n for n in range(8)), data[-3:], set(data[2:1000000]))
s, t = os.open('package.json', os.O_RDONLY), os.open('large2', os.O_RDWR)
print(os.copy_file_range(s, t, 10), os.copy_file_range(s, t, 10))
os.pwrite(t, b'after', 0); print(open('large2', 'rb').read(6)); os.truncate('large2', 5); print(open('large2', 'rb').read())
"`),
    ).toBe("3 True b'end' {48}\n10 10\nb'aftere'\nb'after'\n")
  })

  it('all of it is there after a remount', async () => {
    const summary = `find . -path ./.git -prune -o -printf '%p %s %m %i %n %T@ %l\\n' | sort | sha256sum`
    const before = view(summary)
    await mounted.remount()
    expect(view(summary)).toBe(before)
    expect(view('git fsck --no-progress --no-dangling && git log -1 --format=%s')).toBe('change\n')
    expect(mounted.log).toEqual([])
  })
})

describe('an ordinary user, who owns the files of a view', () => {
  it('creates read-only files and writes them, and works with git', async (context) => {
    await needs(context, 'python3')
    const uid = 54_321
    await using own = await mountedView({ base: project, owner: { uid, gid: uid } })
    fs.chmodSync(join(own.path, '..'), 0o711)
    const script = `import os, subprocess
os.setgroups([]); os.setgid(${uid}); os.setuid(${uid})
os.chdir('${own.path}')
f = os.open('read-only', os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o444)
os.write(f, b'mine'); os.close(f)
try: os.open('read-only', os.O_RDWR); print('opened')
except PermissionError: print('refused')
s = os.stat('read-only'); print(s.st_uid == ${uid}, s.st_gid == ${uid}, oct(s.st_mode & 0o7777), open('read-only').read())
os.chmod('read-only', 0o640); os.rename('read-only', 'lib/renamed'); os.symlink('x', 'l'); os.unlink('l')
env = dict(os.environ, HOME='/nonexistent', GIT_CONFIG_GLOBAL='/dev/null')
g = lambda *a: subprocess.run(['git', '-c', 'user.name=a', '-c', 'user.email=a@b', *a], env=env, capture_output=True, text=True)
print(g('add', '.').stderr, g('commit', '-qm', 'by user').stderr, g('log', '-1', '--format=%s').stdout.strip(), g('fsck').returncode)
try: os.chown('lib', 0, 0); print('chowned')
except PermissionError: print('not chowned')`
    const printed = execFileSync('python3', ['-c', script], { encoding: 'utf8' })
    expect(printed).toBe('refused\nTrue True 0o444 mine\n  by user 0\nnot chowned\n')
  })
})

function view(script: string): string {
  return sh(mounted.path, script)
}

function sh(cwd: string, script: string): string {
  const env = {
    ...process.env,
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_AUTHOR_NAME: 'a',
    GIT_AUTHOR_EMAIL: 'a@b',
    GIT_COMMITTER_NAME: 'a',
    GIT_COMMITTER_EMAIL: 'a@b',
  }
  return execFileSync('bash', ['-ec', script], { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

const PROJECT = `
git init -q -b main
mkdir -p src lib/sub
touch lib/sub/keep
head -c 12000000 /dev/zero | tr '\\0' 0 > large && cp large large2
cat > src/main.c <<'C'
#include <stdio.h>
int main(void) { puts("hello"); return 0; }
C
printf 'main: src/main.c\\n\\tcc -o main src/main.c\\n' > Makefile
printf 'def answer():\\n    return 42\\n' > lib/tool.py
echo '{"name":"project","version":"1.0.0","files":["lib"]}' > package.json
echo project > README.md
printf 'node_modules\\nlarge*\\n' > .gitignore
git add . && git commit -qm first
`
