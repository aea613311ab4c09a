/* Mapping: a file laid over the memory of a SharedArrayBuffer, its rights, and its pages.
 *
 * The SharedArrayBuffer belongs to a shared WebAssembly.Memory: V8 reserves its address range once, never moves it
 * and unmaps all of it when the buffer dies, so whatever is mapped inside goes with it. MAP_FIXED replaces the
 * anonymous pages V8 put there by the pages of the file. unmapOver does the reverse. */
#include "lich.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define BYTES_MAX (4294967296LL)

/* Read a view and a byte count that must start on a page and lie inside the view. */
static bool span(napi_env env, napi_value view, napi_value count, uint8_t **data, int64_t *bytes) {
  size_t size;
  if (!lich_view(env, view, "view", data, &size) || !lich_int(env, count, "bytes", 1, BYTES_MAX, bytes)) return false;
  if (((uintptr_t)*data & (LICH_PAGE - 1)) != 0 || (*bytes & (LICH_PAGE - 1)) != 0 || (uint64_t)*bytes > size) {
    lich_type_error(env, "view must start on a page and hold `bytes`, a whole number of pages");
    return false;
  }
  return true;
}

/* mapOver(view, fd, bytes, writable, path): the first `bytes` of the file replace the memory of the view. */
static napi_value map_over(napi_env env, napi_callback_info info) {
  napi_value argv[5];
  uint8_t *data;
  int64_t bytes, fd;
  bool writable;
  char path[4096];
  struct stat st;
  if (!lich_args(env, info, 5, argv) || !span(env, argv[0], argv[2], &data, &bytes) ||
      !lich_int(env, argv[1], "fd", 0, INT32_MAX, &fd) || !lich_bool(env, argv[3], "writable", &writable) ||
      !lich_path(env, argv[4], path))
    return NULL;
  /* A mapping past the end of its file is SIGBUS at the first touch, so it is never made. */
  if (fstat((int)fd, &st) != 0) return lich_throw(env, "SHM_IO", errno, "fstat", path);
  if (st.st_size < bytes) return lich_throw(env, "SHM_SIZE", 0, "file is shorter than its mapping", path);
  void *at = mmap(data, (size_t)bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED, (int)fd, 0);
  if (at != data) return lich_throw(env, errno == ENOMEM ? "SHM_NO_MEMORY" : errno == EACCES ? "SHM_ACCESS" : "SHM_IO", errno, "mmap", path);
  return lich_undefined(env);
}

/* unmapOver(view, bytes): private zero memory replaces the file; old views read zeros and reach no file. */
static napi_value unmap_over(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  uint8_t *data;
  int64_t bytes;
  if (!lich_args(env, info, 2, argv) || !span(env, argv[0], argv[1], &data, &bytes)) return NULL;
  void *at = mmap(data, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  if (at != data) return lich_throw(env, "SHM_IO", errno, "mmap of anonymous memory", NULL);
  return lich_undefined(env);
}

/* protect(view, bytes, writable, path) */
static napi_value protect(napi_env env, napi_callback_info info) {
  napi_value argv[4];
  uint8_t *data;
  int64_t bytes;
  bool writable;
  char path[4096];
  if (!lich_args(env, info, 4, argv) || !span(env, argv[0], argv[1], &data, &bytes) ||
      !lich_bool(env, argv[2], "writable", &writable) || !lich_path(env, argv[3], path))
    return NULL;
  if (mprotect(data, (size_t)bytes, PROT_READ | (writable ? PROT_WRITE : 0)) != 0)
    return lich_throw(env, errno == EACCES ? "SHM_ACCESS" : "SHM_IO", errno, "mprotect", path);
  return lich_undefined(env);
}

/* sync(view, bytes, path): write the pages back to the disk and wait (nothing to do on tmpfs). */
static napi_value sync_pages(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  uint8_t *data;
  int64_t bytes;
  char path[4096];
  if (!lich_args(env, info, 3, argv) || !span(env, argv[0], argv[1], &data, &bytes) || !lich_path(env, argv[2], path))
    return NULL;
  if (msync(data, (size_t)bytes, MS_SYNC) != 0) return lich_throw(env, "SHM_IO", errno, "msync", path);
  return lich_undefined(env);
}

/* populate(view, bytes, writable, path): enter existing pages into the page table, so that no first touch faults.
 * The caller asks only for pages that the file already has: nothing is allocated here. */
static napi_value populate(napi_env env, napi_callback_info info) {
  napi_value argv[4];
  uint8_t *data;
  int64_t bytes;
  bool writable;
  char path[4096];
  if (!lich_args(env, info, 4, argv) || !span(env, argv[0], argv[1], &data, &bytes) ||
      !lich_bool(env, argv[2], "writable", &writable) || !lich_path(env, argv[3], path))
    return NULL;
  if (madvise(data, (size_t)bytes, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0) return lich_undefined(env);
  if (errno != EINVAL) return lich_throw(env, errno == ENOMEM ? "SHM_NO_MEMORY" : "SHM_IO", errno, "madvise(MADV_POPULATE)", path);
  /* Kernels before 5.14: read one byte of each page. */
  volatile uint8_t sink = 0;
  for (int64_t at = 0; at < bytes; at += LICH_PAGE) sink ^= ((volatile uint8_t *)data)[at];
  (void)sink;
  return lich_undefined(env);
}

/* fallocate without the emulation of posix_fallocate, which reads and rewrites bytes that another thread may be
 * changing. Returns 0 or an errno. */
static int reserve_pages(int fd, int64_t offset, int64_t bytes) {
  int result;
  do result = fallocate(fd, 0, offset, bytes);
  while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

static const char *reserve_code(int error) {
  if (error == ENOSPC || error == ENOMEM || error == EDQUOT || error == EFBIG) return "SHM_NO_MEMORY";
  return error == EOPNOTSUPP || error == ENOSYS ? "SHM_UNSUPPORTED" : "SHM_IO";
}

/* allocate(fd, offset, bytes, path): reserve pages of the file; never a signal where the caller checked the
 * container's limit first. */
static napi_value allocate(napi_env env, napi_callback_info info) {
  napi_value argv[4];
  int64_t fd, offset, bytes;
  char path[4096];
  if (!lich_args(env, info, 4, argv) || !lich_int(env, argv[0], "fd", 0, INT32_MAX, &fd) ||
      !lich_int(env, argv[1], "offset", 0, BYTES_MAX, &offset) || !lich_int(env, argv[2], "bytes", 1, BYTES_MAX, &bytes) ||
      !lich_path(env, argv[3], path))
    return NULL;
  int error = reserve_pages((int)fd, offset, bytes);
  if (error) return lich_throw(env, reserve_code(error), error, "fallocate", path);
  return lich_undefined(env);
}

typedef struct {
  napi_async_work work;
  napi_deferred deferred;
  int fd, error;
  int64_t offset, bytes;
  char path[4096];
} reservation;

static void reserve_run(napi_env env, void *data) {
  (void)env;
  reservation *r = data;
  r->error = reserve_pages(r->fd, r->offset, r->bytes);
}

static void reserve_done(napi_env env, napi_status status, void *data) {
  reservation *r = data;
  if (status == napi_cancelled && r->error == 0) r->error = ECANCELED;
  if (r->error) napi_reject_deferred(env, r->deferred, lich_error(env, reserve_code(r->error), r->error, "fallocate", r->path));
  else napi_resolve_deferred(env, r->deferred, lich_undefined(env));
  napi_delete_async_work(env, r->work);
  close(r->fd);
  free(r);
}

/* allocateAsync(fd, offset, bytes, path): Promise<void>, the same on a helper thread. */
static napi_value allocate_async(napi_env env, napi_callback_info info) {
  napi_value argv[4], promise, name;
  int64_t fd, offset, bytes;
  char path[4096];
  if (!lich_args(env, info, 4, argv) || !lich_int(env, argv[0], "fd", 0, INT32_MAX, &fd) ||
      !lich_int(env, argv[1], "offset", 0, BYTES_MAX, &offset) || !lich_int(env, argv[2], "bytes", 1, BYTES_MAX, &bytes) ||
      !lich_path(env, argv[3], path))
    return NULL;
  reservation *r = calloc(1, sizeof *r);
  if (!r) return lich_throw(env, "SHM_NO_MEMORY", ENOMEM, "calloc", path);
  r->fd = fcntl((int)fd, F_DUPFD_CLOEXEC, 0); /* the segment may be closed before the helper is done */
  if (r->fd < 0) {
    int error = errno;
    free(r);
    return lich_throw(env, "SHM_IO", error, "dup", path);
  }
  r->offset = offset;
  r->bytes = bytes;
  memcpy(r->path, path, sizeof path);
  if (napi_create_promise(env, &r->deferred, &promise) != napi_ok ||
      napi_create_string_utf8(env, "lich reserve", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, NULL, name, reserve_run, reserve_done, r, &r->work) != napi_ok ||
      napi_queue_async_work(env, r->work) != napi_ok) {
    close(r->fd);
    free(r);
    return lich_throw(env, "SHM_IO", 0, "the helper thread could not be asked", path);
  }
  return promise;
}

/* linkFd(fd, path): give an unnamed file (O_TMPFILE) its name. false: the name is taken; nothing was replaced. */
static napi_value link_fd(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  int64_t fd;
  char path[4096], self[64];
  if (!lich_args(env, info, 2, argv) || !lich_int(env, argv[0], "fd", 0, INT32_MAX, &fd) || !lich_path(env, argv[1], path))
    return NULL;
  snprintf(self, sizeof self, "/proc/self/fd/%d", (int)fd);
  if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0) return lich_from_bool(env, true);
  if (errno == EEXIST) return lich_from_bool(env, false);
  return lich_throw(env, errno == EACCES || errno == EPERM ? "SHM_ACCESS" : "SHM_IO", errno, "linkat", path);
}

/* closeFile(fd): of memoryFile. node:fs warns in a worker of descriptors that it did not open. */
static napi_value close_file(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  int64_t fd;
  if (!lich_args(env, info, 1, argv) || !lich_int(env, argv[0], "fd", 0, INT32_MAX, &fd)) return NULL;
  if (close((int)fd) != 0) return lich_throw(env, "SHM_IO", errno, "close", NULL);
  return lich_undefined(env);
}

/* memoryFile(bytes): descriptor of a nameless file in memory, for the self-test. */
static napi_value memory_file(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  int64_t bytes;
  if (!lich_args(env, info, 1, argv) || !lich_int(env, argv[0], "bytes", 1, BYTES_MAX, &bytes)) return NULL;
  int fd = memfd_create("lich-self-test", MFD_CLOEXEC);
  if (fd < 0) return lich_throw(env, "SHM_UNSUPPORTED", errno, "memfd_create", NULL);
  if (ftruncate(fd, bytes) != 0) {
    int error = errno;
    close(fd);
    return lich_throw(env, "SHM_IO", error, "ftruncate", NULL);
  }
  return lich_from_int(env, fd);
}

/* makeFifo(path): mode 0600. false: the name is taken. */
static napi_value make_fifo(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  char path[4096];
  if (!lich_args(env, info, 1, argv) || !lich_path(env, argv[0], path)) return NULL;
  if (mkfifo(path, 0600) == 0) return lich_from_bool(env, true);
  if (errno == EEXIST) return lich_from_bool(env, false);
  return lich_throw(env, errno == EACCES ? "SHM_ACCESS" : "SHM_IO", errno, "mkfifo", path);
}

const lich_verb lich_mapping_verbs[] = {
    {"mapOver", map_over},   {"unmapOver", unmap_over},
    {"protect", protect},    {"sync", sync_pages},
    {"populate", populate},  {"allocate", allocate},
    {"allocateAsync", allocate_async}, {"linkFd", link_fd},
    {"memoryFile", memory_file}, {"closeFile", close_file},
    {"makeFifo", make_fifo},
    {NULL, NULL}};
