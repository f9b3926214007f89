/* Loaded before libc, this makes calls on the files of one directory fail.
 *
 * FAULTS_DIR     the directory
 * FAULTS_LOG     a letter is appended here for each fault: i EIO, s ENOSPC, f EMFILE, r a failed rename
 * FAULTS_ONE_IN  how rarely a write or sync fails; opens fail five times and renames twenty times as often; 0: never
 * FAULTS_SWITCH  while this file is there, no file can be created
 * FAULTS_ERRNO   the error with which that fails
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST_FILES 4096

static const char *directory, *forbids;
static uint64_t one_in;
static int forbidden_errno, log_file = -1;
static _Atomic uint64_t state;
static _Atomic char watched[MOST_FILES];

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int), (*real_fsync)(int), (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);

static uint64_t number(const char *name) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : 0;
}

__attribute__((constructor)) static void begin(void) {
    struct timespec now;
    real_open = dlsym(RTLD_NEXT, "open64");
    real_close = dlsym(RTLD_NEXT, "close");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    clock_gettime(CLOCK_REALTIME, &now);
    state = now.tv_nsec ^ ((uint64_t)getpid() << 32);
    one_in = number("FAULTS_ONE_IN");
    forbidden_errno = number("FAULTS_ERRNO");
    forbids = getenv("FAULTS_SWITCH");
    const char *log = getenv("FAULTS_LOG");
    if (log) log_file = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    directory = getenv("FAULTS_DIR");
}

static int is_inside(const char *path) {
    return directory && !strncmp(path, directory, strlen(directory));
}

static int is_watched(int file) {
    return file >= 0 && file < MOST_FILES && watched[file];
}

static uint64_t below(uint64_t limit) {
    uint64_t mixed = atomic_fetch_add(&state, 0x9e3779b97f4a7c15u);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return (mixed ^ (mixed >> 31)) % limit;
}

/* Whether this call fails, one of `rarely`; then errno is set. */
static int fails(uint64_t rarely, int error, char letter) {
    if (!one_in || below(rarely ? rarely : 1)) return 0;
    if (log_file >= 0 && write(log_file, &letter, 1) != 1) return 0;
    errno = error;
    return 1;
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (!is_inside(path)) return real_open(path, flags, mode);
    if (flags & O_CREAT && forbids && !access(forbids, F_OK)) {
        errno = forbidden_errno;
        return -1;
    }
    if (fails(one_in / 5, EMFILE, 'f')) return -1;
    int file = real_open(path, flags, mode);
    if (file >= 0 && file < MOST_FILES) watched[file] = 1;
    return file;
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));

int close(int file) {
    if (is_watched(file)) watched[file] = 0;
    return real_close(file);
}

/* A write that fails has written a part. */
ssize_t pwrite64(int file, const void *bytes, size_t count, off_t offset) {
    if (!is_watched(file)) return real_pwrite(file, bytes, count, offset);
    int full = below(2);
    if (!fails(one_in, full ? ENOSPC : EIO, full ? 's' : 'i'))
        return real_pwrite(file, bytes, count, offset);
    int error = errno;
    if (real_pwrite(file, bytes, below(count + 1), offset) < 0) error = errno;
    errno = error;
    return -1;
}

int fdatasync(int file) {
    if (is_watched(file) && fails(one_in, EIO, 'i')) return -1;
    return real_fdatasync(file);
}

int fsync(int file) {
    if (is_watched(file) && fails(one_in, EIO, 'i')) return -1;
    return real_fsync(file);
}

int rename(const char *from, const char *to) {
    if (is_inside(to) && fails(one_in / 20, EIO, 'r')) return -1;
    return real_rename(from, to);
}
