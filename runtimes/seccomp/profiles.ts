/**
 * Which system calls a program in a sandbox may make: data, and nothing else. A call that stands nowhere here is
 * answered ENOSYS, as by a kernel that is older than it, so that libraries go the way they go there.
 *
 * Values are compared with the low 32 bits of an argument, because the calls compared here take an `int` or look at
 * no more of it; only a pointer is looked at whole.
 */

export type Errno = 'EPERM' | 'ENOSYS' | 'EAFNOSUPPORT' | 'EPROTONOSUPPORT'

/** `done`: it is not made, and 0 is returned. `ask`: it waits for the agent's word (`agent/src/sync.c`). */
export type Verdict = 'allow' | 'done' | 'ask' | Errno

export type Test =
  | { readonly argument: number; readonly mask?: number; readonly is: readonly number[] }
  | { readonly argument: number; readonly isNull: true }

export interface Rule {
  /** All of them hold. */
  readonly when: readonly Test[]
  readonly answer: Verdict
}

export interface Conditional {
  /** The first that applies. */
  readonly rules: readonly Rule[]
  readonly otherwise: Verdict
}

export interface Profile {
  readonly allow: readonly string[]
  readonly ask: readonly string[]
  readonly refuse: Readonly<Partial<Record<Errno, readonly string[]>>>
  readonly conditional: Readonly<Record<string, Conditional>>
}

const words = (text: string): string[] => text.trim().split(/\s+/)

const FILES = words(`
  access cachestat chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
  fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr file_getattr
  file_setattr flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents
  getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch lchown lgetxattr link
  linkat listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat newfstatat open openat
  openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr
  removexattrat rename renameat renameat2 rmdir sendfile setxattr setxattrat splice stat statfs statx symlink
  symlinkat sync_file_range tee truncate umask unlink unlinkat utime utimensat utimes vmsplice write
  writev`)

/**
 * The kernel does not pass these on to a view, so what they promise has to be had from the server; and `sync` would
 * have it write out every other filesystem of the host.
 */
const SYNC = ['sync', 'syncfs']

const MEMORY = words(`
  brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mprotect mremap
  mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages`)

const PROCESSES = words(`
  arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_wait futex_waitv futex_wake
  get_robust_list getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid
  getrlimit getrusage getsid gettid getuid ioprio_get kill landlock_add_rule landlock_create_ruleset
  landlock_restrict_self pause pidfd_open pidfd_send_signal prctl restart_syscall rseq rt_sigaction rt_sigpending
  rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
  sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
  sched_yield seccomp set_robust_list set_tid_address setfsgid setfsuid setgid setgroups setpgid setregid setresgid
  setresuid setreuid setsid setuid sigaltstack tgkill tkill vfork wait4 waitid`)

const TALK = words(`
  accept accept4 bind connect epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2
  getpeername getsockname getsockopt listen pipe pipe2 poll ppoll pselect6 recvfrom recvmmsg recvmsg select sendmmsg
  sendmsg sendto setsockopt shutdown signalfd signalfd4`)

const SYSTEM_V = words(`
  mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop
  semtimedop shmat shmctl shmdt shmget`)

const TIME_AND_MACHINE = words(`
  alarm clock_getres clock_gettime clock_nanosleep getcpu getitimer getrandom gettimeofday nanosleep setitimer sysinfo
  time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
  timerfd_settime times uname`)

/** The older kind of asynchronous files, which some databases use. */
const ASYNCHRONOUS_FILES = words('io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit')

/** Looking into other processes, which the kernel allows among those of one user: debuggers need it. */
const DEBUGGING = words('process_vm_readv process_vm_writev ptrace')

const REFUSED = words(`
  acct add_key adjtimex bpf chroot clock_adjtime clock_settime delete_module fanotify_init fanotify_mark finit_module
  fsconfig fsmount fsopen fspick get_mempolicy init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl
  kcmp kexec_file_load kexec_load keyctl listmount lookup_dcookie lsm_set_self_attr mbind migrate_pages modify_ldt mount
  mount_setattr move_mount move_pages name_to_handle_at nfsservctl open_by_handle_at open_tree open_tree_attr
  perf_event_open pidfd_getfd pivot_root process_madvise process_mrelease quotactl quotactl_fd reboot request_key
  set_mempolicy set_mempolicy_home_node setdomainname sethostname setns settimeofday statmount swapoff swapon syslog
  umount2 userfaultfd vhangup`)

const AF_UNIX = 1
const AF_INET = 2
const AF_INET6 = 10
const AF_NETLINK = 16
const SOCK_TYPE_MASK = 0xf
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const IPPROTO = { any: 0, icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const
const NETLINK_ROUTE = 0
const INTERNET = { argument: 0, is: [AF_INET, AF_INET6] }

const UNIX_SOCKETS: Rule = { when: [{ argument: 0, is: [AF_UNIX] }], answer: 'allow' }
/** No raw sockets, and no protocol that the kernel would load a module for. */
const INTERNET_SOCKETS: readonly Rule[] = [
  {
    when: [
      INTERNET,
      { argument: 1, mask: SOCK_TYPE_MASK, is: [SOCK_STREAM] },
      { argument: 2, is: [IPPROTO.any, IPPROTO.tcp] },
    ],
    answer: 'allow',
  },
  {
    when: [
      INTERNET,
      { argument: 1, mask: SOCK_TYPE_MASK, is: [SOCK_DGRAM] },
      { argument: 2, is: [IPPROTO.any, IPPROTO.udp, IPPROTO.icmp, IPPROTO.icmpv6] },
    ],
    answer: 'allow',
  },
  { when: [INTERNET], answer: 'EPROTONOSUPPORT' },
]
/** What lists the interfaces; every other kind of netlink is another door into the kernel. */
const ROUTE_SOCKETS: readonly Rule[] = [
  {
    when: [
      { argument: 0, is: [AF_NETLINK] },
      { argument: 2, is: [NETLINK_ROUTE] },
    ],
    answer: 'allow',
  },
  { when: [{ argument: 0, is: [AF_NETLINK] }], answer: 'EPROTONOSUPPORT' },
]

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NEW_NAMESPACES = 0x7e02_0000
/** In `clone` these bits are the signal at the end. */
const CLONE_NEWTIME = 0x80

const S_IFMT = 0o170000
/** As files, FIFOs and sockets; 0 is a file. */
const NO_DEVICES = [0, 0o100000, 0o010000, 0o140000]

/**
 * The agent. Its user is everybody's in the sandbox, so the kernel would let anybody change its limits and its
 * share of the processor. No namespace inside can have another process 1.
 */
const AGENT = { argument: 0, is: [1] }
const NOT_THE_AGENT: Conditional = { rules: [{ when: [AGENT], answer: 'EPERM' }], otherwise: 'allow' }

const RLIMIT_CORE = 4
/**
 * The limit of core dumps stays where the agent has put it (1 byte), for at 0 the kernel starts the host's handler
 * of core dumps where there is one. Programs that lower it before they read a secret end if they are refused.
 */
const CORE_LIMIT = { argument: 1, is: [RLIMIT_CORE] }

const PRIO_USER = 2
const IOPRIO_WHO_USER = 3

const TIOCSTI = 0x5412
const TIOCLINUX = 0x541c
/** Line disciplines are loaded as modules. */
const TIOCSETD = 0x5423

const PERSONALITY_QUERY = 0xffff_ffff
const PER_LINUX = 0
const PER_LINUX32 = 8
const ADDR_NO_RANDOMIZE = 0x4_0000

const CONDITIONAL = {
  clone: { rules: [{ when: [{ argument: 0, mask: NEW_NAMESPACES, is: [0] }], answer: 'allow' }], otherwise: 'EPERM' },
  unshare: {
    rules: [{ when: [{ argument: 0, mask: NEW_NAMESPACES | CLONE_NEWTIME, is: [0] }], answer: 'allow' }],
    otherwise: 'EPERM',
  },
  ioctl: {
    rules: [{ when: [{ argument: 1, is: [TIOCSTI, TIOCLINUX, TIOCSETD] }], answer: 'EPERM' }],
    otherwise: 'allow',
  },
  socket: { rules: [UNIX_SOCKETS, ...INTERNET_SOCKETS, ...ROUTE_SOCKETS], otherwise: 'EAFNOSUPPORT' },
  socketpair: { rules: [UNIX_SOCKETS], otherwise: 'EAFNOSUPPORT' },
  personality: {
    rules: [
      { when: [{ argument: 0, is: [PERSONALITY_QUERY, PER_LINUX, PER_LINUX32, ADDR_NO_RANDOMIZE] }], answer: 'allow' },
    ],
    otherwise: 'EPERM',
  },
  mknod: { rules: [{ when: [{ argument: 1, mask: S_IFMT, is: NO_DEVICES }], answer: 'allow' }], otherwise: 'EPERM' },
  mknodat: { rules: [{ when: [{ argument: 2, mask: S_IFMT, is: NO_DEVICES }], answer: 'allow' }], otherwise: 'EPERM' },
  prlimit64: {
    rules: [
      { when: [{ argument: 2, isNull: true }], answer: 'allow' },
      { when: [AGENT], answer: 'EPERM' },
      { when: [CORE_LIMIT, { argument: 3, isNull: true }], answer: 'done' },
      { when: [CORE_LIMIT], answer: 'EPERM' },
    ],
    otherwise: 'allow',
  },
  setrlimit: { rules: [{ when: [{ argument: 0, is: [RLIMIT_CORE] }], answer: 'done' }], otherwise: 'allow' },
  sched_setaffinity: NOT_THE_AGENT,
  sched_setattr: NOT_THE_AGENT,
  sched_setparam: NOT_THE_AGENT,
  sched_setscheduler: NOT_THE_AGENT,
  setpriority: {
    rules: [
      { when: [{ argument: 0, is: [PRIO_USER] }], answer: 'EPERM' },
      { when: [{ argument: 1, is: [1] }], answer: 'EPERM' },
    ],
    otherwise: 'allow',
  },
  ioprio_set: {
    rules: [
      { when: [{ argument: 0, is: [IOPRIO_WHO_USER] }], answer: 'EPERM' },
      { when: [{ argument: 1, is: [1] }], answer: 'EPERM' },
    ],
    otherwise: 'allow',
  },
} as const satisfies Record<string, Conditional>

/** Its flags are in memory, where a filter cannot look; the libraries then use `clone`. */
const UNREADABLE = ['clone3']

const ORDINARY = [...FILES, ...MEMORY, ...PROCESSES, ...TALK, ...TIME_AND_MACHINE]

/** What development needs, debuggers among it. */
const DEFAULT: Profile = {
  allow: [...ORDINARY, ...SYSTEM_V, ...ASYNCHRONOUS_FILES, ...DEBUGGING],
  ask: SYNC,
  refuse: { EPERM: REFUSED, ENOSYS: UNREADABLE },
  conditional: CONDITIONAL,
}

/** Builds, tests and servers still run; nothing looks into another process, and rarer parts of the kernel are shut. */
const STRICT_TOO = ['memfd_secret', 'remap_file_pages', 'vmsplice']
const STRICT: Profile = {
  allow: ORDINARY.filter((name) => !STRICT_TOO.includes(name)),
  ask: SYNC,
  refuse: {
    EPERM: [...REFUSED, ...SYSTEM_V, ...ASYNCHRONOUS_FILES, ...DEBUGGING, ...STRICT_TOO],
    ENOSYS: UNREADABLE,
  },
  conditional: {
    ...CONDITIONAL,
    socket: { rules: [UNIX_SOCKETS, ...INTERNET_SOCKETS], otherwise: 'EAFNOSUPPORT' },
    personality: {
      rules: [{ when: [{ argument: 0, is: [PERSONALITY_QUERY, PER_LINUX] }], answer: 'allow' }],
      otherwise: 'EPERM',
    },
  },
}

export const PROFILES = { default: DEFAULT, strict: STRICT } as const
