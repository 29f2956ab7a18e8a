// JSON Lines: a write for each commit, then fdatasync. No checksum, no lock, no index: the least that one could do.

#include "peer.h"

static const char *peer_version(void) { return ""; }

struct lines {
    int file;
    pthread_mutex_t lock;  // a write larger than a page is not one step for other threads
};

static char *file_path(const char *path) {
    char *name;
    if (asprintf(&name, "%s/lines", path) < 0) fail("no memory");
    return name;
}

static void *peer_open(const char *path, size_t number) {
    (void)number;
    struct lines *lines = malloc(sizeof *lines);
    pthread_mutex_init(&lines->lock, NULL);
    char *name = file_path(path);
    if ((lines->file = open(name, O_CREAT | O_EXCL | O_WRONLY | O_APPEND | O_CLOEXEC, 0666)) < 0) fail("%s: %s", name, strerror(errno));
    free(name);
    return lines;
}

static void peer_append(void *store, size_t caller, uint64_t first, size_t n) {
    (void)caller;
    struct lines *lines = store;
    struct iovec parts[1024];
    ssize_t size = 0;
    for (size_t i = 0; i < n; i++) {
        parts[i] = payload(first + i);
        size += (ssize_t)++parts[i].iov_len;  // with the newline
    }
    pthread_mutex_lock(&lines->lock);
    ssize_t written = writev(lines->file, parts, (int)n);
    pthread_mutex_unlock(&lines->lock);
    if (written != size) fail("write: %s", strerror(errno));
    if (options.is_power && fdatasync(lines->file)) fail("fdatasync: %s", strerror(errno));
}

static void peer_close(void *store) {
    struct lines *lines = store;
    close(lines->file);
    free(lines);
}

static uint64_t peer_count(const char *path, size_t number) {
    (void)number;
    char *name = file_path(path);
    int file = open(name, O_RDONLY);
    if (file < 0) fail("%s: %s", name, strerror(errno));
    free(name);
    static char bytes[1 << 20];
    uint64_t count = 0;
    for (ssize_t size; (size = read(file, bytes, sizeof bytes)) > 0;)
        for (const char *place = bytes; (place = memchr(place, '\n', (size_t)(bytes + size - place))); place++) count++;
    close(file);
    return count;
}
