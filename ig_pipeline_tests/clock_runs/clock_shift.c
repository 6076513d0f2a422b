/* The time of day, shifted by as many nanoseconds as the first eight bytes of $LD_CLOCK_SHIFT_FILE say.
 *
 * Loaded before the C library (LD_PRELOAD). The file is mapped: a write to it moves every process at once. Monotonic
 * clocks, relative timeouts and times of files are left alone. A deadline by the time of day, which a caller has
 * computed from the shifted clock, is shifted back for the kernel.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* Later than any machine has been up, earlier than any date. */
#define IS_TIME_OF_DAY(deadline) ((deadline)->tv_sec > 1000000000)

static const volatile int64_t *shared;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("LD_CLOCK_SHIFT_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *shared, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) shared = mapped;
}

static struct timespec moved(const struct timespec *at, int direction) {
    int64_t shift = shared ? *shared : 0;
    int64_t all = at->tv_sec * SECOND + at->tv_nsec + direction * shift;
    return (struct timespec){.tv_sec = all / SECOND, .tv_nsec = all % SECOND};
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) *now = moved(now, 1);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec shifted;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &shifted)) return -1;
    *now = (struct timeval){.tv_sec = shifted.tv_sec, .tv_usec = shifted.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *now) {
    struct timespec shifted;
    if (clock_gettime(CLOCK_REALTIME, &shifted)) return -1;
    if (now) *now = shifted.tv_sec;
    return shifted.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

/* Waits. Which clock a deadline is of is told by its size: a condition variable may have been made for either. */

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline) {
    if (!IS_TIME_OF_DAY(deadline)) return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, deadline);
    struct timespec real = moved(deadline, -1);
    return pthread_cond_clockwait(condition, mutex, CLOCK_REALTIME, &real);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict deadline) {
    struct timespec real = moved(deadline, -1);
    return pthread_mutex_clocklock(mutex, CLOCK_REALTIME, &real);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline) {
    struct timespec real = moved(deadline, -1);
    return sem_clockwait(semaphore, CLOCK_REALTIME, &real);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *left) {
    static int (*real)(clockid_t, int, const struct timespec *, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_nanosleep");
    struct timespec deadline = *wanted;
    if (clock == CLOCK_REALTIME && (flags & TIMER_ABSTIME)) deadline = moved(wanted, -1);
    return real(clock, flags, &deadline, left);
}

long syscall(long number, ...) {
    static long (*real)(long, ...);
    if (!real) real = dlsym(RTLD_NEXT, "syscall");
    va_list list;
    long given[6];
    struct timespec deadline;
    va_start(list, number);
    for (int n = 0; n < 6; n++) given[n] = va_arg(list, long);
    va_end(list);
    if (number == SYS_futex && (given[1] & FUTEX_CLOCK_REALTIME) && given[3]) {
        deadline = moved((const struct timespec *)given[3], -1);
        given[3] = (long)&deadline;
    }
    return real(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
