// LevelDB: a write batch for each commit, keys that grow, 64 MiB of write buffer instead of 4, so that compaction gets in the way less; all else as it
// comes. Its write queue commits what waits together with one sync (group commit).

#include "peer.h"
#include <leveldb/c.h>

static const char *peer_version(void) {
    static char version[32];
    snprintf(version, sizeof version, "%d.%d", leveldb_major_version(), leveldb_minor_version());
    return version;
}

struct database {
    leveldb_t *leveldb;
    leveldb_options_t *settings;
    leveldb_writeoptions_t *write;
};

static void check(char *error) {
    if (error) fail("leveldb: %s", error);
}

static void *peer_open(const char *path, size_t number) {
    (void)number;
    struct database *database = malloc(sizeof *database);
    database->settings = leveldb_options_create();
    leveldb_options_set_create_if_missing(database->settings, 1);
    leveldb_options_set_write_buffer_size(database->settings, 64 << 20);
    leveldb_options_set_compression(database->settings, leveldb_snappy_compression);
    database->write = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(database->write, options.is_power);
    char *error = NULL;
    database->leveldb = leveldb_open(database->settings, path, &error);
    check(error);
    return database;
}

static void peer_append(void *store, size_t caller, uint64_t first, size_t n) {
    (void)caller;
    struct database *database = store;
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    for (size_t i = 0; i < n; i++) {
        uint64_t key = __builtin_bswap64(first + i);  // its order is that of bytes
        struct iovec one = payload(first + i);
        leveldb_writebatch_put(batch, (const char *)&key, sizeof key, one.iov_base, one.iov_len);
    }
    char *error = NULL;
    leveldb_write(database->leveldb, database->write, batch, &error);
    check(error);
    leveldb_writebatch_destroy(batch);
}

static void peer_close(void *store) {
    struct database *database = store;
    leveldb_close(database->leveldb);
    leveldb_writeoptions_destroy(database->write);
    leveldb_options_destroy(database->settings);
    free(database);
}

static uint64_t peer_count(const char *path, size_t number) {
    struct database *database = peer_open(path, number);
    leveldb_readoptions_t *read = leveldb_readoptions_create();
    leveldb_readoptions_set_fill_cache(read, 0);
    leveldb_iterator_t *iterator = leveldb_create_iterator(database->leveldb, read);
    uint64_t count = 0;
    for (leveldb_iter_seek_to_first(iterator); leveldb_iter_valid(iterator); leveldb_iter_next(iterator)) count++;
    char *error = NULL;
    leveldb_iter_get_error(iterator, &error);
    check(error);
    leveldb_iter_destroy(iterator);
    leveldb_readoptions_destroy(read);
    peer_close(database);
    return count;
}
