/* A file system without locks and links, as some network file systems are: for a process that is started with this before. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

int flock(int file, int how) { errno = ENOLCK; return -1; }
int link(const char *from, const char *to) { errno = EPERM; return -1; }
int symlink(const char *from, const char *to) { errno = EPERM; return -1; }

static int control(const char *name, int file, int what, void *given) {
    if (what == F_SETLK || what == F_SETLKW || what == F_OFD_SETLK || what == F_OFD_SETLKW) {
        errno = ENOLCK;
        return -1;
    }
    int (*real)(int, int, ...) = dlsym(RTLD_NEXT, name);
    return real(file, what, given);
}

#define CONTROL(name)                               \
    int name(int file, int what, ...) {             \
        va_list rest;                               \
        va_start(rest, what);                       \
        void *given = va_arg(rest, void *);         \
        va_end(rest);                               \
        return control(#name, file, what, given);   \
    }
CONTROL(fcntl)
CONTROL(fcntl64)
