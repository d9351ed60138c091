/* Stands before the C library (LD_PRELOAD) and counts the calls that change a file below a folder; at a chosen one it
 * kills the process, or from it on refuses calls of some kinds, as a full or a read-only disk would.
 *
 * A killed write is half done. Flushing is counted and noted, not carried out: a killed process loses nothing by it, and
 * what a power cut would lose is told from the notes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, FSYNC = 4, RENAME = 8, LINK = 16, UNLINK = 32, MKDIR = 64, RMDIR = 128, CHMOD = 256, UTIME = 512, TRUNCATE = 1024 };

static long *count;
static char folder[PATH_MAX];
static long kill_at, fail_from;
static int fail_kinds, fail_with, notes = -1;

__attribute__((constructor)) static void begin(void) {
    count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* Begin to count. `at` kills before that call (1 is the first; 0 never); from `from` on calls of `kinds` fail with `error`. */
void faults_arm(const char *below, long at, long from, int kinds, int error, const char *notes_path) {
    *count = 0;
    kill_at = at, fail_from = from, fail_kinds = kinds, fail_with = error;
    notes = notes_path ? open(notes_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    snprintf(folder, sizeof folder, "%s", below);
}

long faults_count(void) { return *count; }

static void full_path(int at, const char *name, char *path) {
    char link[64];
    path[0] = 0;
    if (name && name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t size = at == AT_FDCWD ? -1 : readlink(link, path, PATH_MAX - 1);
    if (size < 0) size = 0;
    path[size] = 0;
    if (name) snprintf(path + size, PATH_MAX - size, "/%s", name);
}

/* What to do with a call: 0 let it happen, 1 kill in the middle of it, -1 refuse it. */
static int judge(int kind, const char *name, int at, const char *to, int to_at) {
    char path[PATH_MAX], other[PATH_MAX] = "";
    int saved = errno;
    full_path(at, name, path);
    if (to) full_path(to_at, to, other);
    int is_there = path[0] && !faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW);
    errno = saved;
    if (kind == MKDIR ? is_there : kind & (UNLINK | RMDIR) && !is_there) return 0; /* changes nothing */
    size_t length = strlen(folder);
    int is_below = length && (!strncmp(path, folder, length) || !strncmp(other, folder, length));
    if (!is_below) return 0;
    long number = __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
    if (notes >= 0) dprintf(notes, "%d\t%s\t%s\n", kind, path, other);
    if (number == kill_at) return 1;
    if (fail_from && number >= fail_from && (kind & fail_kinds)) {
        errno = fail_with;
        return -1;
    }
    return 0;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    pause();
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define GUARD(kind, at, path) do { int said = judge(kind, path, at, NULL, 0); if (said > 0) die(); if (said < 0) return -1; } while (0)
#define GUARD_TWO(kind, at, path, to_at, to) do { int said = judge(kind, path, at, to, to_at); if (said > 0) die(); if (said < 0) return -1; } while (0)

static int changes(int flags) { return (flags & (O_CREAT | O_TRUNC)) != 0; }

static mode_t mode_of(int flags, va_list *more) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(*more, mode_t) : 0; }

#define OPENS(name)                                                             \
    int name(const char *path, int flags, ...) {                                \
        va_list more; va_start(more, flags);                                    \
        mode_t mode = mode_of(flags, &more); va_end(more);                      \
        if (changes(flags)) GUARD(OPEN, AT_FDCWD, path);                        \
        return NEXT(name)(path, flags, mode);                                   \
    }
#define OPENS_AT(name)                                                          \
    int name(int at, const char *path, int flags, ...) {                        \
        va_list more; va_start(more, flags);                                    \
        mode_t mode = mode_of(flags, &more); va_end(more);                      \
        if (changes(flags)) GUARD(OPEN, at, path);                              \
        return NEXT(name)(at, path, flags, mode);                               \
    }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

/* A descriptor opened without O_CREAT may be written too: every write counts by the path it leads to. */
ssize_t write(int file, const void *data, size_t size) {
    int said = judge(WRITE, NULL, file, NULL, 0);
    if (said > 0) {
        NEXT(write)(file, data, size / 2);
        die();
    }
    return said < 0 ? -1 : NEXT(write)(file, data, size);
}

int ioctl(int file, unsigned long request, ...) {
    va_list more; va_start(more, request);
    void *argument = va_arg(more, void *); va_end(more);
    if (request == FICLONE) GUARD(WRITE, file, NULL);
    return NEXT(ioctl)(file, request, argument);
}

int fsync(int file) { GUARD(FSYNC, file, NULL); return 0; }
int fdatasync(int file) { GUARD(FSYNC, file, NULL); return 0; }
int ftruncate(int file, off_t size) { GUARD(TRUNCATE, file, NULL); return NEXT(ftruncate)(file, size); }
int ftruncate64(int file, off64_t size) { GUARD(TRUNCATE, file, NULL); return NEXT(ftruncate64)(file, size); }
int rename(const char *from, const char *to) { GUARD_TWO(RENAME, AT_FDCWD, from, AT_FDCWD, to); return NEXT(rename)(from, to); }
int renameat(int at, const char *from, int to_at, const char *to) { GUARD_TWO(RENAME, at, from, to_at, to); return NEXT(renameat)(at, from, to_at, to); }
int link(const char *from, const char *to) { GUARD_TWO(LINK, AT_FDCWD, from, AT_FDCWD, to); return NEXT(link)(from, to); }
int linkat(int at, const char *from, int to_at, const char *to, int flags) { GUARD_TWO(LINK, at, from, to_at, to); return NEXT(linkat)(at, from, to_at, to, flags); }
int unlink(const char *path) { GUARD(UNLINK, AT_FDCWD, path); return NEXT(unlink)(path); }
int unlinkat(int at, const char *path, int flags) { GUARD(flags & AT_REMOVEDIR ? RMDIR : UNLINK, at, path); return NEXT(unlinkat)(at, path, flags); }
int rmdir(const char *path) { GUARD(RMDIR, AT_FDCWD, path); return NEXT(rmdir)(path); }
int mkdir(const char *path, mode_t mode) { GUARD(MKDIR, AT_FDCWD, path); return NEXT(mkdir)(path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { GUARD(MKDIR, at, path); return NEXT(mkdirat)(at, path, mode); }
int chmod(const char *path, mode_t mode) { GUARD(CHMOD, AT_FDCWD, path); return NEXT(chmod)(path, mode); }
int fchmod(int file, mode_t mode) { GUARD(CHMOD, file, NULL); return NEXT(fchmod)(file, mode); }
int fchmodat(int at, const char *path, mode_t mode, int flags) { GUARD(CHMOD, at, path); return NEXT(fchmodat)(at, path, mode, flags); }
int futimens(int file, const struct timespec times[2]) { GUARD(UTIME, file, NULL); return NEXT(futimens)(file, times); }
int utimensat(int at, const char *path, const struct timespec times[2], int flags) { GUARD(UTIME, at, path); return NEXT(utimensat)(at, path, times, flags); }
