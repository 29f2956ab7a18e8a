// What the peers in C share: the command line, the payloads, the callers, the time each of their calls takes, and one line of JSON with what came
// out. A peer includes this once and defines the functions below; a call that fails ends the program with the reason.

#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static struct {
    const char *input, *directory;
    bool is_power;  // a call returns when its payloads are on stable storage
    size_t batch, threads, stores;
    double duration;
    uint64_t count;
} options = {.batch = 1, .threads = 1, .stores = 1, .duration = 1, .count = UINT64_MAX};

// MARK: What a peer defines

static const char *peer_version(void);
// A store of its own for each number; `path` is a directory that is there and empty.
static void *peer_open(const char *path, size_t number);
// Keeps payload(first) and the n - 1 that follow, as one commit. Called by many threads at once; no two get the same first .. first + n.
static void peer_append(void *store, size_t caller, uint64_t first, size_t n);
static void peer_close(void *store);
// Opens a closed store again and counts what is in it.
static uint64_t peer_count(const char *path, size_t number);

// MARK: What it can use

// Of a line without its newline, which stands behind it in memory.
static struct iovec *payloads;
static size_t payload_count;

static inline struct iovec payload(uint64_t number) { return payloads[number % payload_count]; }

static inline uint64_t nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

// MARK: Latencies

// Counts by size, 64 classes for each power of two: quantiles to 1.6 %, and nothing is allocated while the clock runs.
struct histogram {
    uint64_t counts[64 * 64], count, greatest;
};

static inline void histogram_add(struct histogram *histogram, uint64_t value) {
    int shift = value < 64 ? 0 : 63 - __builtin_clzll(value) - 6;
    size_t class = value < 64 ? (size_t)value : (size_t)(shift + 1) * 64 + (size_t)((value >> shift) & 63);
    histogram->counts[class]++;
    histogram->count++;
    if (value > histogram->greatest) histogram->greatest = value;
}

// The greatest value of the class in which this part of all values ends.
static uint64_t histogram_quantile(const struct histogram *histogram, double part) {
    uint64_t wanted = (uint64_t)((double)histogram->count * part), seen = 0;
    for (size_t class = 0; class < 64 * 64; class++) {
        seen += histogram->counts[class];
        if (seen <= wanted) continue;
        uint64_t end = class < 64 ? class : ((64 + class % 64 + 1) << (class / 64 - 1)) - 1;
        return end < histogram->greatest ? end : histogram->greatest;
    }
    return histogram->greatest;
}

// MARK: Running

struct store {
    void *peer;
    char *path;
    _Atomic uint64_t next;
};

struct caller {
    pthread_t thread;
    size_t number;
    struct store *store;
    uint64_t actions, bytes, end;
    struct histogram latency;
};

static pthread_barrier_t start_line;
static uint64_t start_time;

static void *run_caller(void *argument) {
    struct caller *caller = argument;
    uint64_t most = options.count == UINT64_MAX ? UINT64_MAX : options.count / options.threads;
    if (pthread_barrier_wait(&start_line) == PTHREAD_BARRIER_SERIAL_THREAD) start_time = nanoseconds();
    pthread_barrier_wait(&start_line);
    uint64_t before = start_time, deadline = start_time + (uint64_t)(options.duration * 1e9);
    while (before < deadline && caller->actions < most) {
        uint64_t first = atomic_fetch_add(&caller->store->next, options.batch);
        peer_append(caller->store->peer, caller->number, first, options.batch);
        uint64_t now = nanoseconds();
        histogram_add(&caller->latency, now - before);
        for (size_t i = 0; i < options.batch; i++) caller->bytes += payload(first + i).iov_len;
        caller->actions += options.batch;
        before = now;
    }
    caller->end = before;
    return NULL;
}

static void read_payloads(void) {
    FILE *file = fopen(options.input, "r");
    struct stat status;
    if (!file || fstat(fileno(file), &status)) fail("%s: %s", options.input, strerror(errno));
    char *bytes = malloc((size_t)status.st_size);
    if (fread(bytes, 1, (size_t)status.st_size, file) != (size_t)status.st_size) fail("%s: short read", options.input);
    fclose(file);
    char *end = bytes + status.st_size;
    for (char *line = bytes, *newline; line < end; line = newline + 1) {
        if (!(newline = memchr(line, '\n', (size_t)(end - line)))) fail("%s: the last line has no newline", options.input);
        if (payload_count % 1024 == 0) payloads = realloc(payloads, (payload_count + 1024) * sizeof *payloads);
        payloads[payload_count++] = (struct iovec){line, (size_t)(newline - line)};
    }
    if (!payload_count) fail("%s: no lines", options.input);
}

static void read_options(int count, char **arguments) {
    static const struct option names[] = {{"input", 1, 0, 'i'},   {"directory", 1, 0, 'd'}, {"durability", 1, 0, 'p'}, {"batch", 1, 0, 'b'},
                                          {"threads", 1, 0, 't'}, {"stores", 1, 0, 's'},    {"duration", 1, 0, 'l'},   {"count", 1, 0, 'c'}, {0}};
    for (int name; (name = getopt_long(count, arguments, "", names, NULL)) != -1;) switch (name) {
        case 'i': options.input = optarg; break;
        case 'd': options.directory = optarg; break;
        case 'p': options.is_power = !strcmp(optarg, "power"); break;
        case 'b': options.batch = strtoull(optarg, NULL, 10); break;
        case 't': options.threads = strtoull(optarg, NULL, 10); break;
        case 's': options.stores = strtoull(optarg, NULL, 10); break;
        case 'l': options.duration = strtod(optarg, NULL); break;
        case 'c': options.count = strtoull(optarg, NULL, 10); break;
        default: exit(64);
        }
    if (!options.input || !options.directory || !options.batch || !options.stores || options.threads < options.stores || options.batch > 1024)
        fail("usage: --input FILE --directory DIR [--durability process|power] [--batch N] [--threads N] [--stores N] [--duration S] [--count N]");
}

int main(int argument_count, char **arguments) {
    read_options(argument_count, arguments);
    read_payloads();
    struct store *stores = calloc(options.stores, sizeof *stores);
    for (size_t i = 0; i < options.stores; i++) {
        if (asprintf(&stores[i].path, "%s/%zu", options.directory, i) < 0 || mkdir(stores[i].path, 0777))
            fail("%s: %s", options.directory, strerror(errno));
        stores[i].peer = peer_open(stores[i].path, i);
    }
    struct caller *callers = calloc(options.threads, sizeof *callers);
    pthread_barrier_init(&start_line, NULL, (unsigned)options.threads);
    for (size_t i = 0; i < options.threads; i++) {
        callers[i].number = i;
        callers[i].store = &stores[i % options.stores];
        if (pthread_create(&callers[i].thread, NULL, run_caller, &callers[i])) fail("no thread");
    }
    struct caller all = {0};
    for (size_t i = 0; i < options.threads; i++) {
        pthread_join(callers[i].thread, NULL);
        all.actions += callers[i].actions;
        all.bytes += callers[i].bytes;
        all.latency.count += callers[i].latency.count;
        for (size_t class = 0; class < 64 * 64; class++) all.latency.counts[class] += callers[i].latency.counts[class];
        if (callers[i].latency.greatest > all.latency.greatest) all.latency.greatest = callers[i].latency.greatest;
        if (callers[i].end > all.end) all.end = callers[i].end;
    }
    uint64_t found = 0;
    for (size_t i = 0; i < options.stores; i++) peer_close(stores[i].peer);
    for (size_t i = 0; i < options.stores; i++) found += peer_count(stores[i].path, i);
    if (found != all.actions) fail("recorded %ju, found %ju", (uintmax_t)all.actions, (uintmax_t)found);

    double seconds = (double)(all.end - start_time) / 1e9;
    double microseconds[] = {0.5, 0.9, 0.99, 0.999};
    for (int i = 0; i < 4; i++) microseconds[i] = (double)histogram_quantile(&all.latency, microseconds[i]) / 1e3;
    printf("{\"version\":\"%s\",\"durability\":\"%s\",\"threads\":%zu,\"stores\":%zu,\"batch\":%zu,\"payload_bytes\":%.3f,\"actions\":%ju,"
           "\"seconds\":%.6f,\"actions_per_second\":%.3f,\"bytes_per_second\":%.0f,"
           "\"latency_us\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}}\n",
           peer_version(), options.is_power ? "power" : "process", options.threads, options.stores, options.batch,
           (double)all.bytes / (double)all.actions, (uintmax_t)all.actions, seconds, (double)all.actions / seconds, (double)all.bytes / seconds,
           microseconds[0], microseconds[1], microseconds[2], microseconds[3], (double)all.latency.greatest / 1e3);
    return 0;
}
