/* Single-stepper: stops a live process after every machine instruction of its main thread and looks at its memory the way
 * a recovery would, had a SIGKILL come at that instant.
 *
 *   stepper PID STATE LANES SECONDS COMMITS logPos comPos logBase logWords  watched FROM COUNT …  published LANES_WORD STATE_WORD …
 *
 * It ends after SECONDS, or once it has seen COMMITS commits. All positions are word indexes. At each instant:
 *   - the words in the watched ranges, with the open part of the log undone, equal what they were at the last commit;
 *   - each published word of the lanes segment is not ahead of the committed word of the state that it copies.
 * Prints one line of JSON. Method: the log says which words a transaction changed before it changes them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WATCHED = 1 << 16, MAX_RANGES = 64, MAX_PUBLISHED = 256 };

static volatile int32_t *map(const char *path, size_t *words) {
  int fd = open(path, O_RDONLY);
  struct stat st;
  if (fd < 0 || fstat(fd, &st)) { perror(path); exit(2); }
  void *p = mmap(0, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) { perror(path); exit(2); }
  *words = st.st_size / 4;
  return p;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

struct range { int32_t from, count, at; };
static struct range ranges[MAX_RANGES];
static int range_count, watched_count;
static int32_t current[MAX_WATCHED], committed[MAX_WATCHED];
static struct { int32_t lanes, state; } published[MAX_PUBLISHED];
static int published_count;

/* Where a word of the state stands in the copy; -1 when it is not watched. */
static int place(int32_t word) {
  for (int r = 0; r < range_count; r++)
    if (word >= ranges[r].from && word < ranges[r].from + ranges[r].count) return ranges[r].at + word - ranges[r].from;
  return -1;
}

int main(int argc, char **argv) {
  if (argc < 11) { fprintf(stderr, "see the top of stepper.c\n"); return 2; }
  pid_t pid = atoi(argv[1]);
  size_t state_words, lanes_words;
  volatile int32_t *S = map(argv[2], &state_words), *O = map(argv[3], &lanes_words);
  double seconds = atof(argv[4]);
  long enough = atol(argv[5]);
  long patience = atol(argv[6]);
  int32_t LOG_POS = atoi(argv[7]), COM_POS = atoi(argv[8]), LOG = atoi(argv[9]), MASK = atoi(argv[10]) - 1;
  int k = 11;
  if (k < argc && !strcmp(argv[k], "watched"))
    for (k++; k + 1 < argc && strcmp(argv[k], "published"); k += 2) {
      struct range r = {atoi(argv[k]), atoi(argv[k + 1]), watched_count};
      if (range_count == MAX_RANGES || watched_count + r.count > MAX_WATCHED) { fprintf(stderr, "too much to watch\n"); return 2; }
      ranges[range_count++] = r;
      watched_count += r.count;
    }
  if (k < argc && !strcmp(argv[k], "published"))
    for (k++; k + 1 < argc; k += 2) {
      published[published_count].lanes = atoi(argv[k]);
      published[published_count++].state = atoi(argv[k + 1]);
    }

  if (ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0)) { perror("ptrace"); return 3; }
  int status;
  waitpid(pid, &status, __WALL);

  /* On one processor the two take turns without waking each other up across: five times as many steps a second. */
  cpu_set_t all, one;
  sched_getaffinity(pid, sizeof all, &all);
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  sched_setaffinity(0, sizeof one, &one);
  sched_setaffinity(pid, sizeof one, &one);

  long steps = 0, commits = 0, open_instants = 0, differing = 0, wrong = 0, ahead = 0;
  int have = 0, wrong_word = -1;
  unsigned long wrong_rip = 0;
  int32_t last = S[COM_POS];
  double end = now() + seconds;
  long since = 0;
  while (now() < end && commits < enough) {
    for (int q = 0; q < 256; q++) {
      int pass = 0;
      if (WIFSTOPPED(status) && WSTOPSIG(status) != SIGTRAP) pass = WSTOPSIG(status);
      if (ptrace(PTRACE_SINGLESTEP, pid, 0, (void *)(long)pass)) goto out;
      if (waitpid(pid, &status, __WALL) < 0 || WIFEXITED(status) || WIFSIGNALED(status)) goto out;
      steps++;
      for (int r = 0; r < range_count; r++) memcpy(current + ranges[r].at, (const void *)(S + ranges[r].from), ranges[r].count * 4L);
      int32_t com = S[COM_POS], pos = S[LOG_POS];
      if (pos != com) open_instants++;
      if (have && com == last && memcmp(current, committed, watched_count * 4L)) differing++;
      for (int32_t p = pos - 2; p - com >= 0; p -= 2) {
        int32_t index = S[LOG + (p & MASK)], value = S[LOG + ((p + 1) & MASK)];
        if (index >= 0) {
          int at = place(index);
          if (at >= 0) current[at] = value;
          continue;
        }
        int32_t count = value, word = index & 0x7fffffff;
        p -= (count + 1) & -2;
        for (int32_t n = 0; n < count; n++) {
          int at = place(word + n);
          if (at >= 0) current[at] = S[LOG + ((p + n) & MASK)];
        }
      }
      if (com != last || !have) {
        if (have) commits++;
        last = com;
        have = 1;
        since = steps;
        memcpy(committed, current, sizeof committed);
      } else if (memcmp(current, committed, watched_count * 4L)) {
        wrong++;
        if (wrong_word < 0) {
          struct user_regs_struct regs;
          if (!ptrace(PTRACE_GETREGS, pid, 0, &regs)) wrong_rip = regs.rip;
          for (int r = 0; r < range_count && wrong_word < 0; r++)
            for (int n = 0; n < ranges[r].count; n++)
              if (current[ranges[r].at + n] != committed[ranges[r].at + n]) { wrong_word = ranges[r].from + n; break; }
        }
      }
      for (int n = 0; n < published_count; n++) {
        int at = place(published[n].state);
        if (at >= 0 && O[published[n].lanes] - committed[at] > 0) ahead++;
      }
    }
    /* A collection, or code that is compiled: millions of instructions, none of which is ours. It is let run. */
    if (steps - since > patience) {
      if (ptrace(PTRACE_CONT, pid, 0, 0)) goto out;
      usleep(20000);
      if (ptrace(PTRACE_INTERRUPT, pid, 0, 0)) goto out;
      if (waitpid(pid, &status, __WALL) < 0 || WIFEXITED(status) || WIFSIGNALED(status)) goto out;
      have = 0;
      since = steps;
    }
  }
out:
  sched_setaffinity(pid, sizeof all, &all);
  ptrace(PTRACE_DETACH, pid, 0, 0); /* it is stopped after its last step, or gone */
  printf("{\"steps\":%ld,\"commits\":%ld,\"openInstants\":%ld,\"differing\":%ld,\"wrong\":%ld,\"ahead\":%ld,\"watchedWords\":%d,\"wrongWord\":%d,\"rip\":\"%lx\"}\n",
         steps, commits, open_instants, differing, wrong, ahead, watched_count, wrong_word, wrong_rip);
  return 0;
}
