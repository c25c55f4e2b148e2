/* Lets User Mode Linux 6.1 run on a processor with AMX, where its first process ends with `put_fp_registers`.
 *
 * It hands the state of the processor back in a buffer of fixed size, and the host takes nothing but the whole.
 * gcc -O2 -shared -fPIC -o uml-amx.so uml-amx.c; LD_PRELOAD=$PWD/uml-amx.so linux.uml ...
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define XSTATE 0x202      /* NT_X86_XSTATE */
#define HEADER 512        /* where the parts in use are told */
#define WITHOUT_AMX 0x2ff /* what the short buffer holds */

static long host(long request, pid_t pid, void *address, void *data)
{
    return syscall(SYS_ptrace, request, (long)pid, address, data);
}

static long set_all(pid_t pid, void *kind, const struct iovec *part)
{
    static unsigned char state[65536] __attribute__((aligned(64)));
    struct iovec all = {state, sizeof state};
    if (host(PTRACE_GETREGSET, pid, kind, &all) < 0) return -1;
    size_t known = part->iov_len < all.iov_len ? part->iov_len : all.iov_len;
    memcpy(state, part->iov_base, known);
    if (known < all.iov_len) {
        uint64_t used;
        memcpy(&used, state + HEADER, sizeof used);
        used &= WITHOUT_AMX;
        memcpy(state + HEADER, &used, sizeof used);
    }
    return host(PTRACE_SETREGSET, pid, kind, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
    va_list rest;
    va_start(rest, request);
    pid_t pid = va_arg(rest, pid_t);
    void *address = va_arg(rest, void *), *data = va_arg(rest, void *);
    va_end(rest);
    if (request >= PTRACE_PEEKTEXT && request <= PTRACE_PEEKUSER) {
        long word; /* the C library returns it, the kernel stores it */
        if (host(request, pid, address, &word) < 0) return -1;
        errno = 0;
        return word;
    }
    if (request == PTRACE_SETREGSET && (long)address == XSTATE) return set_all(pid, address, data);
    return host(request, pid, address, data);
}
