/* The agent: process 1 of a sandbox. docs/spec/agent-protocol.md says what goes over its channel. */
#ifndef CROFT_AGENT_H
#define CROFT_AGENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* The protocol's numbers; codec.ts has the same. */
#define PROTOCOL_VERSION 1
#define HEADER_BYTES 8u
#define MAX_PAYLOAD_BYTES 32768u
#define MAX_SPEC_BYTES (2u << 20)
#define MAX_STRINGS 65536u
#define MAX_PROCESSES 256
#define INPUT_WINDOW_BYTES 32768u
#define EXIT_BYTES 32u
#define MAX_STREAMS 512

enum frame_type {
  FRAME_SPEC = 1,    /* to the agent: a piece of what describes the next process */
  FRAME_SPAWN = 2,   /* to the agent */
  FRAME_DATA = 3,    /* both ways */
  FRAME_END = 4,     /* both ways */
  FRAME_CREDIT = 5,  /* both ways */
  FRAME_SIGNAL = 6,  /* to the agent */
  FRAME_RESIZE = 7,  /* to the agent */
  FRAME_SYNC = 80,   /* from the agent: a program waits until what it wrote is on the disk */
  FRAME_SYNCED = 81, /* to the agent */
  FRAME_FILTER = 24, /* to the agent: which system calls there are from now on */
  FRAME_HELLO = 16,  /* from the agent, as are the rest */
  FRAME_STARTED = 17,
  FRAME_FAILED = 18,
  FRAME_EXITED = 19,
  FRAME_PING = 72,   /* to the agent */
  FRAME_PONG = 73,
  FRAME_LISTEN = 32,        /* to the agent */
  FRAME_LISTENING = 33,     /* from the agent */
  FRAME_ACCEPTED = 34,      /* from the agent */
  FRAME_CONNECT = 35,       /* to the agent */
  FRAME_CONNECTED = 36,     /* from the agent */
  FRAME_STREAM_DATA = 37,   /* both ways, as are the next two */
  FRAME_STREAM_END = 38,
  FRAME_STREAM_CREDIT = 39,
  FRAME_STREAM_RESET = 40,  /* to the agent */
  FRAME_STREAM_CLOSED = 41, /* from the agent */
};

/* A channel's number is the descriptor's number in the process. */
enum channel { STDIN, STDOUT, STDERR, CONTROL_IN, CONTROL_OUT, CHANNELS };

enum spawn_flag { WITH_STDIN = 1, WITH_TERMINAL = 2, WITH_CONTROL = 4 };
enum spawn_stage { STAGE_SETUP, STAGE_CWD, STAGE_EXEC };
enum signal_target { TO_PROCESS, TO_GROUP, TO_TREE };

struct frame {
  uint32_t id;
  uint8_t type, channel;
  uint16_t length;
  const unsigned char *payload;
};

/* die.c */
_Noreturn void die(const char *why);

/* frame.c: the two buffers between the channel and the rest. Nothing is sent without room asked for first. */
void channel_open(int fd);
int channel_fd(void);
bool channel_wants_write(void);
/* Room for any one answer to a frame, to a death, or to an end of input. */
bool room_for_answer(void);
/* Room for a data frame, with what answers need kept free. */
bool room_for_data(void);
void channel_flush(void);
void channel_fill(void);
/* False when no whole frame is there. The payload is valid until the next call. */
bool next_frame(struct frame *into);
void send_frame(uint32_t id, uint8_t type, uint8_t channel, const void *payload, size_t length);
/* The payload is read into the place it is sent from: room is `data_space()`, then `send_data` with its length. */
unsigned char *data_space(void);
void send_data(uint32_t id, uint8_t channel, size_t length);
void send_stream_data(uint32_t id, size_t length);
uint16_t read_u16(const unsigned char *from);
uint32_t read_u32(const unsigned char *from);
void write_u32(unsigned char *to, uint32_t value);
void write_u64(unsigned char *to, uint64_t value);

/* clock.c */
uint64_t now_ns(void);

/* process.c: the table of processes and their channels. */
struct output {
  int fd;          /* -1 once it has ended */
  /*
   * Our own hold on the far side, while the process lives. For a terminal: a process may close all it has of it and live
   * on, and without this we would take that for the end, hang up, and kill it by SIGHUP. For a pipe: the process's death
   * would wake us for each of its pipes before it wakes us for itself.
   */
  int far_fd;
  uint32_t credit; /* bytes that may still be sent */
  int barrier;     /* bytes that must be sent before what is held */
};
struct input {
  int fd;
  bool ending; /* the server has sent its END */
  uint32_t start, length;
};
struct process {
  uint32_t id; /* 0: the slot is free */
  pid_t pid;   /* 0 once it has been reaped */
  int report_fd; /* its read end says whether exec worked; -1 once that is known */
  /* Until then nobody looks at it: most commands are over sooner, and both are told in one turn. */
  uint64_t report_due_ns;
  bool terminal, exit_held, exited;
  struct output out[CHANNELS];
  struct input in[CHANNELS];
  /* Waiting for the barriers: what was read from CONTROL_OUT, and the exit. */
  unsigned char held[256], held_exit[EXIT_BYTES];
  size_t held_length;
};
extern struct process processes[MAX_PROCESSES];
extern int process_slots; /* slots from here on are free */
struct process *process_by_id(uint32_t id);
struct process *process_by_pid(pid_t pid);
struct process *process_slot(void);
void process_free_if_over(struct process *p);
void process_settle_start(struct process *p);
void process_let_go(struct process *p);
void process_exited(struct process *p, int status, const void *rusage);

/* spawn.c */
/* How many descriptors each process may have, and how large a file it may make. */
void spawn_init(rlim_t most_files, rlim_t most_file_bytes);
void spawn_gather(const struct frame *f);
void spawn_start(const struct frame *f);

/* pump.c: bytes between the channel and the descriptors. */
void input_receive(struct process *p, const struct frame *f);
void input_pump(struct process *p, enum channel channel);
void input_close(struct process *p, enum channel channel);
void output_pump(struct process *p, enum channel channel);
void output_close(struct process *p, enum channel channel);
void channel_end_received(struct process *p, uint8_t channel);
void credit_received(struct process *p, const struct frame *f);
/* Sends what a process that is dead has left in its pipes, as far as there is room and credit. */
void output_drain(struct process *p);
/* What stands in stdout and stderr now is to be sent before what is held. */
void barriers_raise(struct process *p);
/* Sends what is held once the barriers are gone. The process may be over then. */
void held_release(struct process *p);
bool output_is_wanted(const struct process *p, enum channel channel);

/* stream.c: connections over the sandbox's own loop-back. */
struct stream {
  uint32_t id;
  int fd; /* -1: the slot is free */
  /* `ending`: the server has sent its END. `read_over`, `write_over`: that way has ended at the socket. */
  bool connecting, ending, read_over, write_over;
  uint32_t credit;        /* bytes that may still be sent to the server */
  uint32_t start, length; /* of what the server has sent and the socket has not taken yet */
};
extern struct stream streams[MAX_STREAMS];
extern int stream_slots; /* slots from here on are free */
void stream_listen(const struct frame *f);
/* The listening socket, or -1 while none may be accepted. */
int stream_listener(void);
void stream_accept(void);
void stream_connect(const struct frame *f);
/* What is to be waited for at its socket; 0: nothing. */
short stream_events(const struct stream *s);
void stream_serve(struct stream *s, short ready);
void stream_handle(const struct frame *f);

/* tree.c */
void tree_init(void);
void tree_mark_self(uint32_t id);
void tree_signal(uint32_t id, pid_t leader, int signal, enum signal_target target);
void tree_end_children(void);

/* filter.c */
void filter_install(const struct frame *f);

/* sync.c */
/* Where programs are heard that ask for a sync; -1 while none may be. */
int sync_fd(void);
void sync_listen(int fd);
void sync_asked(void);
void sync_done(const struct frame *f);

/* slice.c */
void slice_shorten(void);

/* join.c */
_Noreturn void join_and_exec(int argc, char **argv);

/* refuse.c */
_Noreturn void refuse_networks(int argc, char **argv);

#endif
