// calibrate FILE: what this machine can do, apart from any program that is compared on it, as a line of JSON. FILE is made and removed.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#endif

enum { KIB = 1024, MIB = 1024 * 1024 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void check(int is_good, const char *what) {
    if (is_good) return;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static int make(const char *path) {
    int file = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
    check(file >= 0, path);
    return file;
}

// Microseconds of a 1 KiB write at the end of a growing file; the median, since some wait for the disk.
static double write_time(const char *path, const char *bytes) {
    enum { COUNT = 20000 };
    static double times[COUNT];
    int file = make(path);
    for (int i = 0; i < COUNT; i++) {
        double start = now();
        check(pwrite(file, bytes, KIB, (off_t)i * KIB) == KIB, path);
        times[i] = now() - start;
    }
    close(file);
    qsort(times, COUNT, sizeof *times, ascending);
    return times[COUNT / 2] * 1e6;
}

// Microseconds of fdatasync after a write of 1 KiB: at the end of a file that grows, or into one whose zeros are there and synced.
static double sync_time(const char *path, const char *bytes, int is_preallocated) {
    enum { COUNT = 200 };
    double times[COUNT];
    int file = make(path);
    if (is_preallocated) {
        char *zeros = calloc(1, COUNT * KIB);
        check(pwrite(file, zeros, COUNT * KIB, 0) == COUNT * KIB && fsync(file) == 0, path);
        free(zeros);
    }
    for (int i = 0; i < COUNT; i++) {
        check(pwrite(file, bytes, KIB, (off_t)i * KIB) == KIB, path);
        double start = now();
        check(fdatasync(file) == 0, path);
        times[i] = now() - start;
    }
    close(file);
    qsort(times, COUNT, sizeof *times, ascending);
    return times[COUNT / 2] * 1e6;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc(const uint64_t *words, size_t count) {
    uint64_t crc = ~0u;
    for (size_t i = 0; i < count; i++) crc = _mm_crc32_u64(crc, words[i]);
    return (uint32_t)crc;
}
static int has_crc(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__ARM_FEATURE_CRC32)
static uint32_t crc(const uint64_t *words, size_t count) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < count; i++) crc = __crc32cd(crc, words[i]);
    return crc;
}
static int has_crc(void) { return 1; }
#else
static uint32_t crc(const uint64_t *words, size_t count) { return (uint32_t)(words[0] + count); }
static int has_crc(void) { return 0; }
#endif

static volatile uint64_t sink;

// Bytes a second of the CPU's CRC-32C instruction in a single chain, over 64 KiB that stay in the cache; 0 where there is none.
static double crc_speed(const char *bytes) {
    if (!has_crc()) return 0;
    double best = 0;
    for (int i = 0; i < 5; i++) {
        double start = now();
        for (int j = 0; j < 500; j++) sink += crc((const uint64_t *)bytes, 64 * KIB / 8);
        double speed = 500 * 64.0 * KIB / (now() - start);
        if (speed > best) best = speed;
    }
    return best;
}

// Bytes a second from one 32 MiB buffer to another.
static double copy_speed(const char *bytes) {
    char *target = malloc(32 * MIB);
    double best = 0;
    for (int i = 0; i < 8; i++) {
        double start = now();
        memcpy(target, bytes, 32 * MIB);
        double speed = 32.0 * MIB / (now() - start);
        sink += (uint64_t)target[i];
        if (speed > best) best = speed;
    }
    free(target);
    return best;
}

int main(int count, char **arguments) {
    if (count != 2) return 64;
    char *bytes = malloc(32 * MIB);
    memset(bytes, 'x', 32 * MIB);
    printf("{\"write_1_kib_us\":%.3f,", write_time(arguments[1], bytes));
    printf("\"fdatasync_growing_us\":%.1f,", sync_time(arguments[1], bytes, 0));
    printf("\"fdatasync_preallocated_us\":%.1f,", sync_time(arguments[1], bytes, 1));
    printf("\"crc32c_bytes_per_second\":%.0f,\"memcpy_bytes_per_second\":%.0f}\n", crc_speed(bytes), copy_speed(bytes));
    unlink(arguments[1]);
    return 0;
}
