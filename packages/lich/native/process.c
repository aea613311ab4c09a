/* Process: the monotonic clock, the thread's id, and limits. */
#include "lich.h"

#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

/* nowNs(): CLOCK_MONOTONIC, the same for all processes of the host. Exact to 1 ns for 104 days of uptime. */
static napi_value now_ns(napi_env env, napi_callback_info info) {
  (void)info;
  struct timespec t;
  napi_value out = NULL;
  clock_gettime(CLOCK_MONOTONIC, &t);
  napi_create_double(env, (double)t.tv_sec * 1e9 + (double)t.tv_nsec, &out);
  return out;
}

/* threadId(): kernel id of the calling thread, in this pid namespace. */
static napi_value thread_id(napi_env env, napi_callback_info info) {
  (void)info;
  return lich_from_int(env, (int64_t)syscall(SYS_gettid));
}

/* setCoreLimit(bytes): soft RLIMIT_CORE; -1 lifts it to the hard limit. 1 keeps the kernel from writing a dump,
 * also where core_pattern is a pipe (0 would not: a piped dump ignores it). */
static napi_value set_core_limit(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  int64_t bytes;
  struct rlimit limit;
  if (!lich_args(env, info, 1, argv) || !lich_int(env, argv[0], "bytes", -1, 1LL << 50, &bytes)) return NULL;
  if (getrlimit(RLIMIT_CORE, &limit) != 0) return lich_throw(env, "SHM_IO", errno, "getrlimit(RLIMIT_CORE)", NULL);
  rlim_t want = bytes < 0 ? limit.rlim_max : (rlim_t)bytes;
  limit.rlim_cur = limit.rlim_max != RLIM_INFINITY && want > limit.rlim_max ? limit.rlim_max : want;
  if (setrlimit(RLIMIT_CORE, &limit) != 0) return lich_throw(env, "SHM_IO", errno, "setrlimit(RLIMIT_CORE)", NULL);
  return lich_undefined(env);
}

/* pinCpu(cpu): bind the calling thread to one processor (benchmarks only). */
static napi_value pin_cpu(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  int64_t cpu;
  cpu_set_t set;
  if (!lich_args(env, info, 1, argv) || !lich_int(env, argv[0], "cpu", 0, CPU_SETSIZE - 1, &cpu)) return NULL;
  CPU_ZERO(&set);
  CPU_SET((int)cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) return lich_throw(env, "SHM_IO", errno, "sched_setaffinity", NULL);
  return lich_undefined(env);
}

/* libc(): its name and version, for messages. */
static napi_value libc_name(napi_env env, napi_callback_info info) {
  (void)info;
  char words[64];
  napi_value out = NULL;
#ifdef __GLIBC__
  snprintf(words, sizeof words, "glibc %s", gnu_get_libc_version());
#else
  snprintf(words, sizeof words, "musl");
#endif
  napi_create_string_utf8(env, words, NAPI_AUTO_LENGTH, &out);
  return out;
}

const lich_verb lich_process_verbs[] = {
    {"nowNs", now_ns},  {"threadId", thread_id}, {"setCoreLimit", set_core_limit},
    {"pinCpu", pin_cpu}, {"libc", libc_name},     {NULL, NULL}};
