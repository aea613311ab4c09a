/* What the addon's files share: errors made where they fail, argument readers, and the table of verbs.
 *
 * Every verb is thin: it checks its arguments, makes one system call (or one libc call) and reports. What to do
 * with the result is decided in src/shm. Nothing here starts a thread that touches a segment, and nothing here
 * keeps state but the table of mapped lock files in lock.c. */
#ifndef LICH_NATIVE_H
#define LICH_NATIVE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NAPI_VERSION 8
#include <node_api.h>

#define LICH_PAGE 4096u
#define LICH_ARGS_MAX 6

/* Fill `argv` with exactly `count` arguments; throws a TypeError and returns false when fewer were given. */
bool lich_args(napi_env env, napi_callback_info info, size_t count, napi_value *argv);
bool lich_int(napi_env env, napi_value value, const char *name, int64_t min, int64_t max, int64_t *out);
bool lich_number(napi_env env, napi_value value, const char *name, double *out);
bool lich_bool(napi_env env, napi_value value, const char *name, bool *out);
/* Read a path of at most 4095 bytes. */
bool lich_path(napi_env env, napi_value value, char *out);
/* Read the memory below a typed array (any element type). */
bool lich_view(napi_env env, napi_value value, const char *name, uint8_t **data, size_t *bytes);

/* Throw Error{code, errno, path} with the message "<what>: <errno text> (errno n): <path>"; returns NULL. */
napi_value lich_throw(napi_env env, const char *code, int error, const char *what, const char *path);
/* The same as a value, for promises. */
napi_value lich_error(napi_env env, const char *code, int error, const char *what, const char *path);
napi_value lich_type_error(napi_env env, const char *message);

napi_value lich_from_int(napi_env env, int64_t value);
napi_value lich_from_bool(napi_env env, bool value);
napi_value lich_undefined(napi_env env);

typedef struct {
  const char *name;
  napi_callback call;
} lich_verb;

/* One table per file, ended by {NULL, NULL}. */
extern const lich_verb lich_mapping_verbs[];
extern const lich_verb lich_shadow_verbs[];
extern const lich_verb lich_lock_verbs[];
extern const lich_verb lich_doorbell_verbs[];
extern const lich_verb lich_process_verbs[];

#endif
