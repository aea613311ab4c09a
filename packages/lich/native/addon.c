/* The addon's door: argument readers, errors with codes, and the registration of all verbs.
 *
 * The order of the verbs, file by file, is the order of src/shm/native.ts:
 *   mapping.c   mapOver unmapOver protect sync populate allocate allocateAsync linkFd memoryFile closeFile
 *               makeFifo
 *   shadow.c   shadowMap shadowPopulate shadowTake shadowDrop
 *   lock.c      lockFormat lockMap lockTry lockWait lockRelease lockWord lockWatch lockFile
 *   doorbell.c  futexWait futexWake ringFd
 *   process.c   nowNs threadId setCoreLimit pinCpu libc */
#include "lich.h"

#include <stdio.h>

bool lich_args(napi_env env, napi_callback_info info, size_t count, napi_value *argv) {
  size_t given = LICH_ARGS_MAX;
  napi_value all[LICH_ARGS_MAX];
  if (napi_get_cb_info(env, info, &given, all, NULL, NULL) != napi_ok || given < count) {
    lich_type_error(env, "too few arguments for a native verb");
    return false;
  }
  for (size_t i = 0; i < count; i++) argv[i] = all[i];
  return true;
}

static bool refuse(napi_env env, const char *name, const char *wanted) {
  char message[160];
  snprintf(message, sizeof message, "%s must be %s", name, wanted);
  lich_type_error(env, message);
  return false;
}

bool lich_int(napi_env env, napi_value value, const char *name, int64_t min, int64_t max, int64_t *out) {
  double number;
  char wanted[96];
  snprintf(wanted, sizeof wanted, "a whole number from %lld to %lld", (long long)min, (long long)max);
  if (napi_get_value_double(env, value, &number) != napi_ok) return refuse(env, name, wanted);
  if (!(number >= (double)min && number <= (double)max)) return refuse(env, name, wanted); /* NaN fails too */
  int64_t whole = (int64_t)number;
  if ((double)whole != number) return refuse(env, name, wanted);
  *out = whole;
  return true;
}

bool lich_number(napi_env env, napi_value value, const char *name, double *out) {
  if (napi_get_value_double(env, value, out) != napi_ok || *out != *out) return refuse(env, name, "a number");
  return true;
}

bool lich_bool(napi_env env, napi_value value, const char *name, bool *out) {
  if (napi_get_value_bool(env, value, out) != napi_ok) return refuse(env, name, "true or false");
  return true;
}

bool lich_path(napi_env env, napi_value value, char *out) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok || length == 0 || length > 4095)
    return refuse(env, "path", "a string of 1 to 4095 bytes");
  if (napi_get_value_string_utf8(env, value, out, 4096, &length) != napi_ok || strlen(out) != length)
    return refuse(env, "path", "a string without NUL");
  return true;
}

bool lich_view(napi_env env, napi_value value, const char *name, uint8_t **data, size_t *bytes) {
  static const uint8_t width[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
  napi_typedarray_type type;
  size_t length, offset;
  void *start;
  napi_value buffer;
  bool is = false;
  if (napi_is_typedarray(env, value, &is) != napi_ok || !is) return refuse(env, name, "a typed array");
  if (napi_get_typedarray_info(env, value, &type, &length, &start, &buffer, &offset) != napi_ok ||
      (size_t)type >= sizeof width)
    return refuse(env, name, "a typed array of integers or floats");
  *data = start;
  *bytes = length * width[type];
  return true;
}

static napi_value text(napi_env env, const char *value) {
  napi_value out = NULL;
  napi_create_string_utf8(env, value, NAPI_AUTO_LENGTH, &out);
  return out;
}

napi_value lich_error(napi_env env, const char *code, int error, const char *what, const char *path) {
  char reason[128] = "";
  char message[4096 + 512];
  const char *words = error ? strerror_r(error, reason, sizeof reason) : "";
  if (error) snprintf(message, sizeof message, "%s: %s (errno %d)%s%s", what, words, error, path ? ": " : "", path ? path : "");
  else snprintf(message, sizeof message, "%s%s%s", what, path ? ": " : "", path ? path : "");
  napi_value out = NULL;
  napi_create_error(env, text(env, code), text(env, message), &out);
  napi_set_named_property(env, out, "errno", lich_from_int(env, error));
  if (path) napi_set_named_property(env, out, "path", text(env, path));
  return out;
}

napi_value lich_throw(napi_env env, const char *code, int error, const char *what, const char *path) {
  napi_throw(env, lich_error(env, code, error, what, path));
  return NULL;
}

napi_value lich_type_error(napi_env env, const char *message) {
  napi_throw_type_error(env, NULL, message);
  return NULL;
}

napi_value lich_from_int(napi_env env, int64_t value) {
  napi_value out = NULL;
  napi_create_int64(env, value, &out);
  return out;
}

napi_value lich_from_bool(napi_env env, bool value) {
  napi_value out = NULL;
  napi_get_boolean(env, value, &out);
  return out;
}

napi_value lich_undefined(napi_env env) {
  napi_value out = NULL;
  napi_get_undefined(env, &out);
  return out;
}

NAPI_MODULE_INIT() {
  const lich_verb *tables[] = {lich_mapping_verbs, lich_shadow_verbs, lich_lock_verbs, lich_doorbell_verbs, lich_process_verbs};
  for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
    for (const lich_verb *verb = tables[t]; verb->name; verb++) {
      napi_value call;
      if (napi_create_function(env, verb->name, NAPI_AUTO_LENGTH, verb->call, NULL, &call) != napi_ok) return NULL;
      if (napi_set_named_property(env, exports, verb->name, call) != napi_ok) return NULL;
    }
  }
  return exports;
}
