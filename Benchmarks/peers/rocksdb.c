// RocksDB: a write batch for each commit, keys that grow, background threads for all CPUs (its IncreaseParallelism), LZ4, all else as it comes: 64 MiB
// memtables, a write-ahead log, write groups that share one sync.

#include "peer.h"
#include <rocksdb/c.h>

// rocksdb/version.h is C++.
static const char *peer_version(void) { return ROCKSDB_VERSION; }

struct database {
    rocksdb_t *rocksdb;
    rocksdb_options_t *settings;
    rocksdb_writeoptions_t *write;
};

static void check(char *error) {
    if (error) fail("rocksdb: %s", error);
}

static void *peer_open(const char *path, size_t number) {
    (void)number;
    struct database *database = malloc(sizeof *database);
    database->settings = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(database->settings, 1);
    rocksdb_options_increase_parallelism(database->settings, (int)sysconf(_SC_NPROCESSORS_ONLN));
    rocksdb_options_set_compression(database->settings, rocksdb_lz4_compression);
    database->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(database->write, options.is_power);
    char *error = NULL;
    database->rocksdb = rocksdb_open(database->settings, path, &error);
    check(error);
    return database;
}

static void peer_append(void *store, size_t caller, uint64_t first, size_t n) {
    (void)caller;
    struct database *database = store;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    for (size_t i = 0; i < n; i++) {
        uint64_t key = __builtin_bswap64(first + i);  // its order is that of bytes
        struct iovec one = payload(first + i);
        rocksdb_writebatch_put(batch, (const char *)&key, sizeof key, one.iov_base, one.iov_len);
    }
    char *error = NULL;
    rocksdb_write(database->rocksdb, database->write, batch, &error);
    check(error);
    rocksdb_writebatch_destroy(batch);
}

static void peer_close(void *store) {
    struct database *database = store;
    rocksdb_close(database->rocksdb);
    rocksdb_writeoptions_destroy(database->write);
    rocksdb_options_destroy(database->settings);
    free(database);
}

static uint64_t peer_count(const char *path, size_t number) {
    struct database *database = peer_open(path, number);
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(read, 0);
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(database->rocksdb, read);
    uint64_t count = 0;
    for (rocksdb_iter_seek_to_first(iterator); rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) count++;
    char *error = NULL;
    rocksdb_iter_get_error(iterator, &error);
    check(error);
    rocksdb_iter_destroy(iterator);
    rocksdb_readoptions_destroy(read);
    peer_close(database);
    return count;
}
