/* Doorbell: sleeping on a word that other processes write, and waking them.
 *
 * FUTEX_PRIVATE_FLAG is never set: the word lies in a shared file, and private futexes do not cross processes
 * (which is also why Atomics.wait and Atomics.notify cannot be used). */
#include "lich.h"

#include <linux/futex.h>
#include <math.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool word(napi_env env, napi_value view, napi_value index, uint32_t **out) {
  uint8_t *data;
  size_t bytes;
  int64_t at;
  if (!lich_view(env, view, "view", &data, &bytes) || !lich_int(env, index, "index", 0, 1LL << 30, &at)) return false;
  if ((uint64_t)at * 4 + 4 > bytes || ((uintptr_t)data & 3) != 0) {
    lich_type_error(env, "index must lie inside an aligned view of 32-bit words");
    return false;
  }
  *out = (uint32_t *)data + at;
  return true;
}

/* futexWait(view, index, expected, timeoutMs): block the calling thread while the word holds `expected`.
 * 0 = woken (or a spurious return), 1 = time is over, 2 = the word held something else. */
static napi_value futex_wait(napi_env env, napi_callback_info info) {
  napi_value argv[4];
  uint32_t *at;
  int64_t expected;
  double timeout_ms;
  if (!lich_args(env, info, 4, argv) || !word(env, argv[0], argv[1], &at) ||
      !lich_int(env, argv[2], "expected", INT32_MIN, UINT32_MAX, &expected) || !lich_number(env, argv[3], "timeoutMs", &timeout_ms))
    return NULL;
  if (timeout_ms < 0) timeout_ms = 0;
  if (timeout_ms > 86400e3) timeout_ms = 86400e3;
  struct timespec t = {.tv_sec = (time_t)(timeout_ms / 1e3), .tv_nsec = (long)(fmod(timeout_ms, 1e3) * 1e6)};
  long result = syscall(SYS_futex, at, FUTEX_WAIT, (uint32_t)expected, &t, NULL, 0);
  return lich_from_int(env, result == 0 ? 0 : errno == ETIMEDOUT ? 1 : errno == EAGAIN ? 2 : 0);
}

/* futexWake(view, index, count): wake up to `count` sleepers; how many there were. */
static napi_value futex_wake(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  uint32_t *at;
  int64_t count;
  if (!lich_args(env, info, 3, argv) || !word(env, argv[0], argv[1], &at) ||
      !lich_int(env, argv[2], "count", 1, INT32_MAX, &count))
    return NULL;
  long woken = syscall(SYS_futex, at, FUTEX_WAKE, (int)count, NULL, NULL, 0);
  return lich_from_int(env, woken < 0 ? 0 : woken);
}

/* ringFd(fd): write one byte to a FIFO without blocking. 0 or an errno (EAGAIN: it is full, so its reader has a
 * reason to wake up already; EPIPE: nobody reads it). */
static napi_value ring_fd(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  int64_t fd;
  if (!lich_args(env, info, 1, argv) || !lich_int(env, argv[0], "fd", 0, INT32_MAX, &fd)) return NULL;
  ssize_t wrote;
  do wrote = write((int)fd, "!", 1);
  while (wrote < 0 && errno == EINTR);
  return lich_from_int(env, wrote == 1 ? 0 : errno);
}

const lich_verb lich_doorbell_verbs[] = {
    {"futexWait", futex_wait}, {"futexWake", futex_wake}, {"ringFd", ring_fd}, {NULL, NULL}};
