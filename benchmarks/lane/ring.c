/* What two processes can do with shared memory when nothing else is asked of them: a single-producer ring, and wake-ups.
 *
 *   ring throughput <messages>    64 bytes copied in and out; positions published for each message, the other side's
 *                                 position read only when the ring looks full or empty
 *   ring batched <messages>       the same, published once for 32 messages, as our lanes are
 *   ring trip <trips>             both sides poll
 *   ring eventfd <trips>          both sides sleep in read()
 *   ring futex <trips>            both sides sleep in the futex
 *
 * Prints one JSON object; times are those of the median block, as in tools.ts. The polling kinds keep parent and child on a core each. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 4096u /* 256 KiB of messages */
#define BYTES 64
#define BATCH 32u
#define MESSAGE_BLOCK 2000
#define TRIP_BLOCK 50

struct side { _Atomic uint32_t pos; char pad[60]; };
struct ring {
  struct side tail, head;
  unsigned char slot[SLOTS][BYTES];
};
struct shared { struct ring there, back; struct side bell[2]; };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct blocks { long size, count, n; double from; double *ns; };

static struct blocks blocks_of(long size, long events) {
  struct blocks b = {size, 0, 0, 0, calloc((size_t)(events / size + 1), sizeof(double))};
  if (b.ns == NULL) abort();
  return b;
}

static void add(struct blocks *b) {
  if (b->count++ % b->size != 0) return;
  double t = now();
  if (b->count > 1) b->ns[b->n++] = (t - b->from) / (double)b->size;
  b->from = t;
}

static int up(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median_ns(struct blocks *b) {
  double *from = b->ns + b->n / 10;
  long n = b->n - b->n / 10;
  qsort(from, (size_t)n, sizeof *from, up);
  return n % 2 ? from[n / 2] : (from[n / 2 - 1] + from[n / 2]) / 2;
}

static void pin(int cpu) {
  cpu_set_t set;
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) return;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

static void pause_a_little(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

struct producer { struct ring *r; uint32_t tail, shown, head; };
struct consumer { struct ring *r; uint32_t head, shown, tail; };

static void publish(struct producer *p) {
  if (p->shown == p->tail) return;
  atomic_store_explicit(&p->r->tail.pos, p->tail, memory_order_release);
  p->shown = p->tail;
}

static void put(struct producer *p, const void *message, uint32_t every) {
  while (p->tail - p->head == SLOTS) {
    publish(p);
    p->head = atomic_load_explicit(&p->r->head.pos, memory_order_acquire);
    if (p->tail - p->head == SLOTS) pause_a_little();
  }
  memcpy(p->r->slot[p->tail % SLOTS], message, BYTES);
  if (++p->tail - p->shown >= every) publish(p);
}

static void take(struct consumer *c, void *message, uint32_t every) {
  while (c->tail == c->head) {
    if (c->shown != c->head) atomic_store_explicit(&c->r->head.pos, c->shown = c->head, memory_order_release);
    c->tail = atomic_load_explicit(&c->r->tail.pos, memory_order_acquire);
    if (c->tail == c->head) pause_a_little();
  }
  memcpy(message, c->r->slot[c->head % SLOTS], BYTES);
  if (++c->head - c->shown >= every) atomic_store_explicit(&c->r->head.pos, c->shown = c->head, memory_order_release);
}

static void throughput(struct shared *s, long n, uint32_t every) {
  uint32_t m[BYTES / 4] = {0}, sum = 0;
  if (fork() == 0) {
    struct producer p = {&s->there, 0, 0, 0};
    pin(0);
    for (long k = 0; k < n; k++) {
      for (int w = 0; w < BYTES / 4; w++) m[w] = (uint32_t)k + (uint32_t)w;
      put(&p, m, every);
    }
    publish(&p);
    _exit(0);
  }
  struct consumer c = {&s->there, 0, 0, 0};
  struct blocks b = blocks_of(MESSAGE_BLOCK, n);
  pin(1);
  for (long k = 0; k < n; k++) {
    take(&c, m, every);
    for (int w = 0; w < BYTES / 4; w++) sum += m[w];
    add(&b);
  }
  wait(NULL);
  printf("{\"perSecond\":%.0f,\"sum\":%u}\n", 1e9 / median_ns(&b), sum);
}

static void trip(struct shared *s, long n) {
  unsigned char m[BYTES] = {0};
  int child = fork() == 0;
  struct producer p = {child ? &s->back : &s->there, 0, 0, 0};
  struct consumer c = {child ? &s->there : &s->back, 0, 0, 0};
  pin(child ? 0 : 1);
  if (child) {
    for (long k = 0; k < n; k++) {
      take(&c, m, 1);
      put(&p, m, 1);
    }
    _exit(0);
  }
  struct blocks b = blocks_of(TRIP_BLOCK, n);
  for (long k = 0; k < n; k++) {
    put(&p, m, 1);
    take(&c, m, 1);
    add(&b);
  }
  wait(NULL);
  printf("{\"ns\":%.1f}\n", median_ns(&b));
}

static void asleep(struct shared *s, long n, int by_futex) {
  int fd[2] = {eventfd(0, 0), eventfd(0, 0)};
  uint32_t seen = 0;
  int child = fork() == 0, me = child, other = !child;
  struct blocks b = blocks_of(TRIP_BLOCK, n);
  for (long k = 0; k < n; k++) {
    for (int turn = 0; turn < 2; turn++) {
      if (turn == child) { /* the parent speaks first, then listens */
        uint64_t one = 1;
        if (by_futex) {
          atomic_fetch_add(&s->bell[other].pos, 1);
          syscall(SYS_futex, &s->bell[other].pos, FUTEX_WAKE, 1, NULL, NULL, 0);
        } else if (write(fd[other], &one, 8) != 8) abort();
      } else {
        uint64_t got = 0;
        if (!by_futex) {
          if (read(fd[me], &got, 8) != 8) abort();
          continue;
        }
        while (atomic_load(&s->bell[me].pos) == seen) syscall(SYS_futex, &s->bell[me].pos, FUTEX_WAIT, seen, NULL, NULL, 0);
        seen++;
      }
    }
    add(&b);
  }
  if (child) _exit(0);
  wait(NULL);
  printf("{\"ns\":%.1f}\n", median_ns(&b));
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  long n = atol(argv[2]);
  struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (s == MAP_FAILED || n < 10) return 1;
  if (strcmp(argv[1], "throughput") == 0) throughput(s, n, 1);
  else if (strcmp(argv[1], "batched") == 0) throughput(s, n, BATCH);
  else if (strcmp(argv[1], "trip") == 0) trip(s, n);
  else if (strcmp(argv[1], "eventfd") == 0) asleep(s, n, 0);
  else if (strcmp(argv[1], "futex") == 0) asleep(s, n, 1);
  else return 2;
  return 0;
}
