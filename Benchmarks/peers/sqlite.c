// SQLite as it is advised for logs: a rowid table, a write-ahead log, one prepared insert, a transaction for each commit. One connection writes for all
// callers, since SQLite has one writer at a time; several would only wait for each other's locks.
// process: synchronous=NORMAL (a commit writes the log, only checkpoints sync); power: FULL (a commit syncs the log).

#include "peer.h"
#include <sqlite3.h>

static const char *peer_version(void) { return sqlite3_libversion(); }

struct connection {
    sqlite3 *database;
    sqlite3_stmt *insert, *begin, *commit;
    pthread_mutex_t lock;
};

static void check(sqlite3 *database, int result) {
    if (result != SQLITE_OK && result != SQLITE_DONE && result != SQLITE_ROW) fail("sqlite: %s", sqlite3_errmsg(database));
}

static void open_database(sqlite3 **database, const char *path) {
    char *name;
    if (asprintf(&name, "%s/actions.db", path) < 0) fail("no memory");
    check(*database, sqlite3_open(name, database));
    free(name);
}

static void *peer_open(const char *path, size_t number) {
    (void)number;
    struct connection *connection = calloc(1, sizeof *connection);
    pthread_mutex_init(&connection->lock, NULL);
    open_database(&connection->database, path);
    sqlite3 *database = connection->database;
    check(database, sqlite3_exec(database, "PRAGMA journal_mode=WAL", NULL, NULL, NULL));
    check(database, sqlite3_exec(database, options.is_power ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", NULL, NULL, NULL));
    check(database, sqlite3_exec(database, "CREATE TABLE actions (seq INTEGER PRIMARY KEY, payload BLOB NOT NULL)", NULL, NULL, NULL));
    check(database, sqlite3_prepare_v2(database, "INSERT INTO actions (payload) VALUES (?)", -1, &connection->insert, NULL));
    check(database, sqlite3_prepare_v2(database, "BEGIN IMMEDIATE", -1, &connection->begin, NULL));
    check(database, sqlite3_prepare_v2(database, "COMMIT", -1, &connection->commit, NULL));
    return connection;
}

static void step(struct connection *connection, sqlite3_stmt *statement) {
    check(connection->database, sqlite3_step(statement));
    check(connection->database, sqlite3_reset(statement));
}

static void peer_append(void *store, size_t caller, uint64_t first, size_t n) {
    (void)caller;
    struct connection *connection = store;
    pthread_mutex_lock(&connection->lock);
    if (n > 1) step(connection, connection->begin);
    for (size_t i = 0; i < n; i++) {
        struct iovec one = payload(first + i);
        check(connection->database, sqlite3_bind_blob(connection->insert, 1, one.iov_base, (int)one.iov_len, SQLITE_STATIC));
        step(connection, connection->insert);
    }
    if (n > 1) step(connection, connection->commit);
    pthread_mutex_unlock(&connection->lock);
}

static void peer_close(void *store) {
    struct connection *connection = store;
    sqlite3_finalize(connection->insert);
    sqlite3_finalize(connection->begin);
    sqlite3_finalize(connection->commit);
    check(connection->database, sqlite3_close(connection->database));
    free(connection);
}

static uint64_t peer_count(const char *path, size_t number) {
    (void)number;
    sqlite3 *database;
    sqlite3_stmt *statement;
    open_database(&database, path);
    check(database, sqlite3_prepare_v2(database, "SELECT count(payload) FROM actions", -1, &statement, NULL));
    check(database, sqlite3_step(statement));
    uint64_t count = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    check(database, sqlite3_close(database));
    return count;
}
