/* Shadow: a second mapping of a segment's file, writable and with all its page-table entries, at an address that no
 * SharedArrayBuffer covers. A standby keeps one and lays it over its read-only mapping when it becomes the owner: the
 * kernel moves whole page tables (0.1 to 0.3 ms a GiB), where mprotect visits each page (6 to 43 ms a GiB) and each first
 * store faults once more.
 *
 * It begins at the same offset in 2 MiB (1 GiB for large ones) as the view, or the tables could not be moved as they are.
 * JavaScript sees an opaque value: nothing but these verbs can reach the mapping. */
#include "lich.h"

#include <sys/mman.h>
#include <sys/stat.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define BYTES_MAX (4294967296LL)
#define MIB2 (2097152UL)
#define GIB (1073741824UL)

typedef struct {
  uint8_t *at; /* NULL once taken or dropped */
  size_t bytes;
} shadow;

static void drop(shadow *s) {
  if (s->at) munmap(s->at, s->bytes);
  s->at = NULL;
}

static void forget(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  drop(data);
  free(data);
}

static bool shadow_of(napi_env env, napi_value value, shadow **out) {
  napi_valuetype type;
  void *data = NULL;
  if (napi_typeof(env, value, &type) == napi_ok && type == napi_external &&
      napi_get_value_external(env, value, &data) == napi_ok && data && ((shadow *)data)->at) {
    *out = data;
    return true;
  }
  lich_type_error(env, "shadow must come from shadowMap, and not be taken or dropped");
  return false;
}

/* shadowMap(view, fd, bytes, path): the value for the other verbs. Maps nothing into the page table yet. */
static napi_value shadow_map(napi_env env, napi_callback_info info) {
  napi_value argv[4], out = NULL;
  uint8_t *data;
  size_t size;
  int64_t fd, bytes;
  char path[4096];
  struct stat st;
  if (!lich_args(env, info, 4, argv) || !lich_view(env, argv[0], "view", &data, &size) ||
      !lich_int(env, argv[1], "fd", 0, INT32_MAX, &fd) || !lich_int(env, argv[2], "bytes", 1, BYTES_MAX, &bytes) ||
      !lich_path(env, argv[3], path))
    return NULL;
  if (((uintptr_t)data & (LICH_PAGE - 1)) != 0 || (bytes & (LICH_PAGE - 1)) != 0 || (uint64_t)bytes > size)
    return lich_type_error(env, "view must start on a page and hold `bytes`, a whole number of pages");
  if (fstat((int)fd, &st) != 0) return lich_throw(env, "SHM_IO", errno, "fstat", path);
  if (st.st_size < bytes) return lich_throw(env, "SHM_SIZE", 0, "file is shorter than its mapping", path);
  size_t align = (size_t)bytes >= GIB ? GIB : MIB2, whole = (size_t)bytes + align;
  uint8_t *room = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return lich_throw(env, "SHM_NO_MEMORY", errno, "mmap of address room", path);
  uint8_t *at = room + (((uintptr_t)data - (uintptr_t)room) & (align - 1));
  if (mmap(at, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (int)fd, 0) != at) {
    int error = errno;
    munmap(room, whole);
    return lich_throw(env, error == EACCES ? "SHM_ACCESS" : "SHM_IO", error, "mmap", path);
  }
  if (at > room) munmap(room, (size_t)(at - room));
  munmap(at + bytes, whole - (size_t)(at - room) - (size_t)bytes);
  shadow *s = malloc(sizeof *s);
  if (!s) {
    munmap(at, (size_t)bytes);
    return lich_throw(env, "SHM_NO_MEMORY", ENOMEM, "malloc", path);
  }
  *s = (shadow){at, (size_t)bytes};
  if (napi_create_external(env, s, forget, NULL, &out) != napi_ok) {
    drop(s);
    free(s);
    return lich_throw(env, "SHM_IO", 0, "napi_create_external", path);
  }
  return out;
}

/* shadowPopulate(shadow, offset, bytes, path): enter existing pages for writing. The caller asks only for pages that the
 * file already has. false: this kernel (before 5.14) cannot without writing. */
static napi_value shadow_populate(napi_env env, napi_callback_info info) {
  napi_value argv[4];
  shadow *s;
  int64_t offset, bytes;
  char path[4096];
  if (!lich_args(env, info, 4, argv) || !shadow_of(env, argv[0], &s) ||
      !lich_int(env, argv[1], "offset", 0, BYTES_MAX, &offset) || !lich_int(env, argv[2], "bytes", 1, BYTES_MAX, &bytes) ||
      !lich_path(env, argv[3], path))
    return NULL;
  if (((offset | bytes) & (LICH_PAGE - 1)) != 0 || (size_t)(offset + bytes) > s->bytes)
    return lich_type_error(env, "offset and bytes must be whole pages inside the shadow");
  if (madvise(s->at + offset, (size_t)bytes, MADV_POPULATE_WRITE) == 0) return lich_from_bool(env, true);
  if (errno == EINVAL) return lich_from_bool(env, false);
  return lich_throw(env, errno == ENOMEM ? "SHM_NO_MEMORY" : "SHM_IO", errno, "madvise(MADV_POPULATE_WRITE)", path);
}

/* shadowTake(shadow, view, path): the shadow becomes the memory of the view. */
static napi_value shadow_take(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  shadow *s;
  uint8_t *data;
  size_t size;
  char path[4096];
  if (!lich_args(env, info, 3, argv) || !shadow_of(env, argv[0], &s) || !lich_view(env, argv[1], "view", &data, &size) ||
      !lich_path(env, argv[2], path))
    return NULL;
  if (((uintptr_t)data & (LICH_PAGE - 1)) != 0 || size < s->bytes)
    return lich_type_error(env, "view must start on a page and hold the shadow");
  if (mremap(s->at, s->bytes, s->bytes, MREMAP_MAYMOVE | MREMAP_FIXED, data) != data)
    return lich_throw(env, errno == ENOMEM ? "SHM_NO_MEMORY" : "SHM_IO", errno, "mremap", path);
  s->at = NULL;
  return lich_undefined(env);
}

/* shadowDrop(shadow) */
static napi_value shadow_drop(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  shadow *s;
  if (!lich_args(env, info, 1, argv) || !shadow_of(env, argv[0], &s)) return NULL;
  drop(s);
  return lich_undefined(env);
}

const lich_verb lich_shadow_verbs[] = {{"shadowMap", shadow_map},   {"shadowPopulate", shadow_populate},
                                       {"shadowTake", shadow_take}, {"shadowDrop", shadow_drop},
                                       {NULL, NULL}};
