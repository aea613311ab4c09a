/* Lock: a robust, process-shared pthread mutex in a lock file of one page.
 *
 * The file is mapped on its own and never unmapped: libc keeps the addresses of held robust mutexes in a list per
 * thread, which the kernel walks when the thread ends, be it with its process or alone (a worker thread). It is never part of a SharedArrayBuffer, where a stray store
 * of JavaScript could reach it: libc follows pointers in a held mutex when it unlocks.
 *
 *   OFFSET  SIZE  FIELD   WRITER            MEANING
 *        0  1024  static  creator           see src/shm/owner-lock.ts
 *     1024    64  mutex   libc and kernel   pthread_mutex_t, robust and process-shared; zero after its own size
 *     2048  2048  notes   see owner-lock.ts
 *
 * What is checked before libc touches the mutex: its kind word equals the one of a mutex made here and now. All
 * other words are either plain counters or written by libc itself when it locks. */
#include "lich.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MUTEX_OFFSET 1024
#define MUTEX_ROOM 64
#define LOCKS_MAX 4096

#ifdef __GLIBC__
#define WORD_OFFSET 0  /* __data.__lock: thread id, FUTEX_WAITERS, FUTEX_OWNER_DIED */
#define KIND_OFFSET 16 /* __data.__kind */
#else
#define WORD_OFFSET 4 /* musl: _m_lock */
#define KIND_OFFSET 0 /* musl: _m_type */
#endif

_Static_assert(sizeof(pthread_mutex_t) <= MUTEX_ROOM, "the mutex fits its room in the lock file");
_Static_assert(MUTEX_OFFSET % 64 == 0 && MUTEX_OFFSET + MUTEX_ROOM <= 2048, "the mutex has cache lines of its own");

/* Mapped pages, for the life of the process and shared by its threads: a file is mapped once, however many workers open
 * it and end. A handle is an index; slots are only ever added, under the mutex, and read without it. */
static struct {
  uint8_t *page;
  dev_t dev;
  ino_t ino;
} locks[LOCKS_MAX];
static atomic_int lock_count;
static pthread_mutex_t locks_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint32_t kind_expected;
static pthread_once_t kind_once = PTHREAD_ONCE_INIT;

static int init_mutex(pthread_mutex_t *mutex) {
  pthread_mutexattr_t attr;
  int error = pthread_mutexattr_init(&attr);
  if (error) return error;
  error = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
  if (!error) error = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
  if (!error) error = pthread_mutex_init(mutex, &attr);
  pthread_mutexattr_destroy(&attr);
  return error;
}

static void learn_kind(void) {
  static pthread_mutex_t sample;
  memset(&sample, 0, sizeof sample);
  if (init_mutex(&sample) == 0) memcpy(&kind_expected, (uint8_t *)&sample + KIND_OFFSET, 4);
}

static bool kind_ok(const uint8_t *page) {
  uint32_t kind;
  pthread_once(&kind_once, learn_kind);
  memcpy(&kind, page + MUTEX_OFFSET + KIND_OFFSET, 4);
  return kind_expected != 0 && kind == kind_expected;
}

static pthread_mutex_t *mutex_of(uint8_t *page) { return (pthread_mutex_t *)(page + MUTEX_OFFSET); }
static _Atomic uint32_t *word_of(uint8_t *page) { return (_Atomic uint32_t *)(page + MUTEX_OFFSET + WORD_OFFSET); }

static bool handle(napi_env env, napi_value value, uint8_t **page) {
  int64_t at;
  if (!lich_int(env, value, "handle", 0, atomic_load(&lock_count) - 1, &at)) return false;
  *page = locks[at].page;
  return true;
}

static uint8_t *map_page(napi_env env, int fd, const char *path, struct stat *st) {
  if (fstat(fd, st) != 0) return lich_throw(env, "SHM_IO", errno, "fstat", path), NULL;
  if (st->st_size < (off_t)LICH_PAGE) return lich_throw(env, "SHM_LOCK_CORRUPT", 0, "lock file is shorter than a page", path), NULL;
  uint8_t *page = mmap(NULL, LICH_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) return lich_throw(env, "SHM_IO", errno, "mmap", path), NULL;
  return page;
}

/* lockFormat(fd, path): make the mutex in a file that has no name yet; the size of a mutex in bytes. */
static napi_value lock_format(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  int64_t fd;
  char path[4096];
  if (!lich_args(env, info, 2, argv) || !lich_int(env, argv[0], "fd", 0, INT32_MAX, &fd) || !lich_path(env, argv[1], path))
    return NULL;
  struct stat st;
  uint8_t *page = map_page(env, (int)fd, path, &st);
  if (!page) return NULL;
  memset(page + MUTEX_OFFSET, 0, MUTEX_ROOM);
  int error = init_mutex(mutex_of(page));
  bool ok = !error && kind_ok(page);
  munmap(page, LICH_PAGE); /* not held, so libc knows nothing of this address */
  if (!ok) return lich_throw(env, "SHM_UNSUPPORTED", error, "robust process-shared mutex", path);
  return lich_from_int(env, (int64_t)sizeof(pthread_mutex_t));
}

/* The handle of a page that was checked; -1 when there is no more room. A file that is mapped keeps its inode, so equal
 * numbers are the same file. */
static int keep_page(uint8_t *page, const struct stat *st) {
  int at = 0, count;
  pthread_mutex_lock(&locks_mutex);
  count = atomic_load(&lock_count);
  while (at < count && (locks[at].dev != st->st_dev || locks[at].ino != st->st_ino)) at++;
  if (at < count) munmap(page, LICH_PAGE);
  else if (at == LOCKS_MAX) at = -1;
  else {
    locks[at].page = page;
    locks[at].dev = st->st_dev;
    locks[at].ino = st->st_ino;
    atomic_store(&lock_count, at + 1);
  }
  pthread_mutex_unlock(&locks_mutex);
  return at;
}

/* lockMap(fd, path): handle of the mapped lock file. */
static napi_value lock_map(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  int64_t fd;
  char path[4096];
  struct stat st;
  if (!lich_args(env, info, 2, argv) || !lich_int(env, argv[0], "fd", 0, INT32_MAX, &fd) || !lich_path(env, argv[1], path))
    return NULL;
  uint8_t *page = map_page(env, (int)fd, path, &st);
  if (!page) return NULL;
  bool ok = kind_ok(page);
  for (size_t i = sizeof(pthread_mutex_t); i < MUTEX_ROOM; i++) ok = ok && page[MUTEX_OFFSET + i] == 0;
  if (!ok) {
    munmap(page, LICH_PAGE);
    return lich_throw(env, "SHM_LOCK_CORRUPT", 0, "the bytes of the mutex are not those of a robust mutex of this libc", path);
  }
  int at = keep_page(page, &st);
  if (at < 0) {
    munmap(page, LICH_PAGE);
    return lich_throw(env, "SHM_IO", 0, "4096 lock files are mapped already; a process never unmaps one", path);
  }
  return lich_from_int(env, at);
}

/* 0 acquired, 1 acquired from a dead owner and made consistent, 2 busy, 3 time is over */
static napi_value outcome(napi_env env, uint8_t *page, int error) {
  switch (error) {
    case 0: return lich_from_int(env, 0);
    case EOWNERDEAD:
      error = pthread_mutex_consistent(mutex_of(page));
      if (error) return lich_throw(env, "SHM_LOCK_DEAD", error, "pthread_mutex_consistent", NULL);
      return lich_from_int(env, 1);
    case EBUSY: return lich_from_int(env, 2);
    case ETIMEDOUT: return lich_from_int(env, 3);
    case ENOTRECOVERABLE: return lich_throw(env, "SHM_LOCK_DEAD", error, "pthread_mutex_lock", NULL);
    default: return lich_throw(env, "SHM_IO", error, "pthread_mutex_lock", NULL);
  }
}

/* lockTry(handle): 0, 1 or 2 */
static napi_value lock_try(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  uint8_t *page;
  if (!lich_args(env, info, 1, argv) || !handle(env, argv[0], &page)) return NULL;
  if (!kind_ok(page)) return lich_throw(env, "SHM_LOCK_CORRUPT", 0, "the mutex was overwritten", NULL);
  return outcome(env, page, pthread_mutex_trylock(mutex_of(page)));
}

/* lockWait(handle, timeoutMs): 0, 1 or 3; a negative timeout waits for ever. Blocks the calling thread. */
static napi_value lock_wait(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  uint8_t *page;
  double timeout_ms;
  if (!lich_args(env, info, 2, argv) || !handle(env, argv[0], &page) || !lich_number(env, argv[1], "timeoutMs", &timeout_ms))
    return NULL;
  if (!kind_ok(page)) return lich_throw(env, "SHM_LOCK_CORRUPT", 0, "the mutex was overwritten", NULL);
  if (timeout_ms < 0 || timeout_ms > 1e12) return outcome(env, page, pthread_mutex_lock(mutex_of(page)));
  struct timespec until;
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 30)
  clock_gettime(CLOCK_MONOTONIC, &until);
#else
  clock_gettime(CLOCK_REALTIME, &until);
#endif
  double ns = (double)until.tv_nsec + timeout_ms * 1e6;
  until.tv_sec += (time_t)(ns / 1e9);
  until.tv_nsec = (long)(ns - (double)(time_t)(ns / 1e9) * 1e9);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 30)
  return outcome(env, page, pthread_mutex_clocklock(mutex_of(page), CLOCK_MONOTONIC, &until));
#else
  return outcome(env, page, pthread_mutex_timedlock(mutex_of(page), &until));
#endif
}

/* lockRelease(handle): only the thread that locked may. */
static napi_value lock_release(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  uint8_t *page;
  if (!lich_args(env, info, 1, argv) || !handle(env, argv[0], &page)) return NULL;
  uint32_t self = (uint32_t)syscall(SYS_gettid);
  if (!kind_ok(page)) return lich_throw(env, "SHM_LOCK_CORRUPT", 0, "the mutex was overwritten", NULL);
  if ((atomic_load(word_of(page)) & FUTEX_TID_MASK) != self)
    return lich_throw(env, "SHM_NOT_OWNER", EPERM, "pthread_mutex_unlock", NULL);
  int error = pthread_mutex_unlock(mutex_of(page));
  if (error) return lich_throw(env, error == EPERM ? "SHM_NOT_OWNER" : "SHM_IO", error, "pthread_mutex_unlock", NULL);
  return lich_undefined(env);
}

/* lockWord(handle): the futex word: 0 free, else the owner's thread id with FUTEX_WAITERS (bit 31) and
 * FUTEX_OWNER_DIED (bit 30). */
static napi_value lock_word(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  uint8_t *page;
  if (!lich_args(env, info, 1, argv) || !handle(env, argv[0], &page)) return NULL;
  return lich_from_int(env, (int64_t)atomic_load(word_of(page)));
}

/* A watcher: a thread that sleeps on the futex word until nobody owns the mutex, and never locks it itself, because
 * the JavaScript thread must be the owner. It marks the word FUTEX_WAITERS as libc's own waiters do, so that an
 * unlock or a death wakes one sleeper. A wake-up may go to a sleeper that dies before it locks; the others then
 * notice after at most WATCH_SLICE_MS. */
#define WATCH_SLICE_MS 100

typedef struct {
  uint8_t *page;
  napi_threadsafe_function call;
  napi_deferred deferred;
  atomic_int cancelled, references;
  bool free_now;
  /* Held while the watcher tells; `over` = its thread of JavaScript has ended (a worker that was terminated), and the
   * threadsafe function with it: Node 20 frees it without asking who still has it. */
  pthread_mutex_t telling;
  bool over;
} watch;

static void watch_drop(watch *w) {
  if (atomic_fetch_sub(&w->references, 1) != 1) return;
  pthread_mutex_destroy(&w->telling);
  free(w);
}

static void *watch_run(void *data) {
  watch *w = data;
  _Atomic uint32_t *at = word_of(w->page);
  pthread_setname_np(pthread_self(), "lich watch");
  const struct timespec slice = {.tv_sec = 0, .tv_nsec = WATCH_SLICE_MS * 1000000L};
  while (!atomic_load(&w->cancelled)) {
    uint32_t now = atomic_load(at);
    if ((now & FUTEX_TID_MASK) == 0) {
      w->free_now = true;
      break;
    }
    if (!(now & FUTEX_WAITERS) && !atomic_compare_exchange_strong(at, &now, now | FUTEX_WAITERS)) continue;
    syscall(SYS_futex, at, FUTEX_WAIT, now | FUTEX_WAITERS, &slice, NULL, 0);
  }
  pthread_mutex_lock(&w->telling);
  if (!w->over && napi_call_threadsafe_function(w->call, NULL, napi_tsfn_nonblocking) != napi_closing)
    napi_release_threadsafe_function(w->call, napi_tsfn_release);
  pthread_mutex_unlock(&w->telling);
  watch_drop(w);
  return NULL;
}

static void watch_tell(napi_env env, napi_value callback, void *context, void *data) {
  (void)callback;
  (void)data;
  watch *w = context;
  if (env) napi_resolve_deferred(env, w->deferred, lich_from_bool(env, w->free_now));
}

static void watch_end(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  watch *w = data;
  atomic_store(&w->cancelled, 1);
  pthread_mutex_lock(&w->telling);
  w->over = true;
  pthread_mutex_unlock(&w->telling);
  watch_drop(w);
}

/* lockWatch(handle): {promise, cancel}; the promise is true once nobody owns the mutex, false when cancelled. */
static napi_value watch_cancel(napi_env env, napi_callback_info info) {
  void *data;
  if (napi_get_cb_info(env, info, NULL, NULL, NULL, &data) == napi_ok) atomic_store(&((watch *)data)->cancelled, 1);
  return lich_undefined(env);
}

static void watch_forget(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  watch_drop(data);
}

static napi_value lock_watch(napi_env env, napi_callback_info info) {
  napi_value argv[1], promise, name, cancel, out;
  uint8_t *page;
  if (!lich_args(env, info, 1, argv) || !handle(env, argv[0], &page)) return NULL;
  watch *w = calloc(1, sizeof *w);
  if (!w) return lich_throw(env, "SHM_NO_MEMORY", ENOMEM, "calloc", NULL);
  w->page = page;
  pthread_mutex_init(&w->telling, NULL);
  atomic_init(&w->references, 3); /* the thread, the threadsafe function, the cancel function */
  if (napi_create_promise(env, &w->deferred, &promise) != napi_ok ||
      napi_create_string_utf8(env, "lich lock watch", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, w, watch_end, w, watch_tell, &w->call) != napi_ok) {
    free(w);
    return lich_throw(env, "SHM_IO", 0, "the watcher could not be made", NULL);
  }
  pthread_t thread;
  pthread_attr_t attr;
  sigset_t all, before;
  pthread_attr_init(&attr);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, 256 * 1024);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&thread, &attr, watch_run, w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
  if (error) {
    atomic_fetch_sub(&w->references, 2);
    napi_release_threadsafe_function(w->call, napi_tsfn_abort);
    return lich_throw(env, "SHM_IO", error, "pthread_create", NULL);
  }
  napi_create_function(env, "cancel", NAPI_AUTO_LENGTH, watch_cancel, w, &cancel);
  napi_add_finalizer(env, cancel, w, watch_forget, NULL, NULL);
  napi_create_object(env, &out);
  napi_set_named_property(env, out, "promise", promise);
  napi_set_named_property(env, out, "cancel", cancel);
  return out;
}

/* lockFile(fd, path): flock(LOCK_EX) on a descriptor, held until it is closed. Only for the replacement of a lock
 * file that another boot left behind. */
static napi_value lock_file(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  int64_t fd;
  char path[4096];
  if (!lich_args(env, info, 2, argv) || !lich_int(env, argv[0], "fd", 0, INT32_MAX, &fd) || !lich_path(env, argv[1], path))
    return NULL;
  int result;
  do result = flock((int)fd, LOCK_EX);
  while (result != 0 && errno == EINTR);
  if (result != 0) return lich_throw(env, "SHM_IO", errno, "flock", path);
  return lich_undefined(env);
}

const lich_verb lich_lock_verbs[] = {
    {"lockFormat", lock_format}, {"lockMap", lock_map},         {"lockTry", lock_try},   {"lockWait", lock_wait},
    {"lockRelease", lock_release}, {"lockWord", lock_word}, {"lockWatch", lock_watch}, {"lockFile", lock_file}, {NULL, NULL}};
