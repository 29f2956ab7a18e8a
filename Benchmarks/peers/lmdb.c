// LMDB: a write transaction for each commit, integer keys that are appended. process: MDB_NOSYNC (a commit writes its pages to the kernel); power: as it
// comes (a commit syncs its pages, then its root).

#include "peer.h"
#include <lmdb.h>

static const char *peer_version(void) {
    static char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", MDB_VERSION_MAJOR, MDB_VERSION_MINOR, MDB_VERSION_PATCH);
    return version;
}

struct environment {
    MDB_env *lmdb;
    MDB_dbi actions;
    uint64_t next;  // the order of commits, which is not that in which callers come
};

static void check(int result) {
    if (result) fail("lmdb: %s", mdb_strerror(result));
}

static void *peer_open(const char *path, size_t number) {
    (void)number;
    struct environment *environment = calloc(1, sizeof *environment);
    check(mdb_env_create(&environment->lmdb));
    check(mdb_env_set_mapsize(environment->lmdb, ((size_t)64 << 30) / options.stores));  // addresses only; the file grows with what is in it
    check(mdb_env_open(environment->lmdb, path, options.is_power ? 0 : MDB_NOSYNC, 0666));
    MDB_txn *transaction;
    check(mdb_txn_begin(environment->lmdb, NULL, 0, &transaction));
    check(mdb_dbi_open(transaction, NULL, MDB_INTEGERKEY, &environment->actions));
    check(mdb_txn_commit(transaction));
    return environment;
}

static void peer_append(void *store, size_t caller, uint64_t first, size_t n) {
    (void)caller;
    struct environment *environment = store;
    MDB_txn *transaction;
    check(mdb_txn_begin(environment->lmdb, NULL, 0, &transaction));  // waits for the one that writes
    for (size_t i = 0; i < n; i++) {
        size_t number = environment->next++;
        struct iovec one = payload(first + i);
        MDB_val key = {sizeof number, &number}, value = {one.iov_len, one.iov_base};
        check(mdb_put(transaction, environment->actions, &key, &value, MDB_APPEND));
    }
    check(mdb_txn_commit(transaction));
}

static void peer_close(void *store) {
    struct environment *environment = store;
    mdb_env_close(environment->lmdb);
    free(environment);
}

static uint64_t peer_count(const char *path, size_t number) {
    struct environment *environment = peer_open(path, number);
    MDB_txn *transaction;
    MDB_stat status;
    check(mdb_txn_begin(environment->lmdb, NULL, MDB_RDONLY, &transaction));
    check(mdb_stat(transaction, environment->actions, &status));
    mdb_txn_abort(transaction);
    peer_close(environment);
    return status.ms_entries;
}
