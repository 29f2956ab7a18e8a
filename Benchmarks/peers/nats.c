// NATS JetStream with file storage, over loopback: a stream for each store, a connection for each caller. A commit publishes its payloads in one go and
// waits for all their acknowledgements (pipelined publishing); what the server makes durable before it acknowledges is its own setting (sync_interval).
// The server listens on port NATS_PORT. The protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol

#include "peer.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

struct connection {
    int socket;
    char *input;  // what has been received and not yet used is input[used ..< filled]
    size_t used, filled, input_size;
    char *output;
    size_t output_size;
    char inbox[64];
};

struct stream {
    char name[32];
    struct connection **callers;
};

static char version[32];

static const char *peer_version(void) { return version; }

static void send_all(struct connection *connection, const char *bytes, size_t size) {
    while (size) {
        ssize_t sent = send(connection->socket, bytes, size, MSG_NOSIGNAL);
        if (sent < 0) fail("nats: %s", strerror(errno));
        bytes += sent;
        size -= (size_t)sent;
    }
}

// At least `size` bytes that were not yet used.
static char *receive(struct connection *connection, size_t size) {
    while (connection->filled - connection->used < size) {
        memmove(connection->input, connection->input + connection->used, connection->filled - connection->used);
        connection->filled -= connection->used;
        connection->used = 0;
        if (connection->input_size < size + 65536) connection->input = realloc(connection->input, connection->input_size = size + 65536);
        ssize_t received = recv(connection->socket, connection->input + connection->filled, connection->input_size - connection->filled, 0);
        if (received <= 0) fail("nats: the server has gone");
        connection->filled += (size_t)received;
    }
    return connection->input + connection->used;
}

// A line without its end, as a string that is valid until the next call.
static char *receive_line(struct connection *connection) {
    for (size_t size = 2;; size++) {
        char *line = receive(connection, size);
        if (line[size - 2] != '\r' || line[size - 1] != '\n') continue;
        line[size - 2] = 0;
        connection->used += size;
        return line;
    }
}

// The payload of the next message, as a string that is valid until the next call.
static char *receive_message(struct connection *connection) {
    for (;;) {
        char *line = receive_line(connection);
        if (!strncmp(line, "PING", 4)) send_all(connection, "PONG\r\n", 6);
        if (!strncmp(line, "-ERR", 4)) fail("nats: %s", line);
        if (strncmp(line, "MSG ", 4)) continue;
        size_t size = strtoull(strrchr(line, ' '), NULL, 10);
        char *bytes = receive(connection, size + 2);
        bytes[size] = 0;
        connection->used += size + 2;
        return bytes;
    }
}

static struct connection *make_connection(void) {
    static atomic_int made;
    struct connection *connection = calloc(1, sizeof *connection);
    connection->input = malloc(connection->input_size = 65536);
    connection->output = malloc(connection->output_size = 65536);
    const char *port = getenv("NATS_PORT");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port ? port : "4222")), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(connection->socket, (struct sockaddr *)&address, sizeof address)) fail("nats: %s", strerror(errno));
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    char *info = receive_line(connection), *found = strstr(info, "\"version\":\"");
    if (found && !version[0]) sscanf(found + 11, "%31[^\"]", version);
    int number = atomic_fetch_add(&made, 1);
    snprintf(connection->inbox, sizeof connection->inbox, "inbox.%d.%d", (int)getpid(), number);
    char hello[128];
    int size = snprintf(hello, sizeof hello, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB %s 1\r\n", connection->inbox);
    send_all(connection, hello, (size_t)size);
    return connection;
}

static void end_connection(struct connection *connection) {
    close(connection->socket);
    free(connection->input);
    free(connection->output);
    free(connection);
}

// The answer of JetStream's own interface, such as STREAM.CREATE.
static char *ask(struct connection *connection, const char *what, const char *name, const char *body) {
    char request[512];
    int size = snprintf(request, sizeof request, "PUB $JS.API.%s.%s %s %zu\r\n%s\r\n", what, name, connection->inbox, strlen(body), body);
    send_all(connection, request, (size_t)size);
    char *answer = receive_message(connection);
    if (strstr(answer, "\"error\"")) fail("nats: %s", answer);
    return answer;
}

static void *peer_open(const char *path, size_t number) {
    (void)path;
    struct stream *stream = calloc(1, sizeof *stream);
    snprintf(stream->name, sizeof stream->name, "bench%zu", number);
    stream->callers = calloc(options.threads, sizeof *stream->callers);
    struct connection *connection = make_connection();
    char body[256];
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"subjects\":[\"%s\"],\"storage\":\"file\",\"retention\":\"limits\",\"num_replicas\":1}",
             stream->name, stream->name);
    ask(connection, "STREAM.CREATE", stream->name, body);
    end_connection(connection);
    return stream;
}

static void peer_append(void *store, size_t caller, uint64_t first, size_t n) {
    struct stream *stream = store;
    struct connection *connection = stream->callers[caller];
    if (!connection) connection = stream->callers[caller] = make_connection();
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        struct iovec one = payload(first + i);
        size_t needed = size + one.iov_len + 256;
        if (connection->output_size < needed) connection->output = realloc(connection->output, connection->output_size = 2 * needed);
        size += (size_t)sprintf(connection->output + size, "PUB %s %s %zu\r\n", stream->name, connection->inbox, one.iov_len);
        memcpy(connection->output + size, one.iov_base, one.iov_len);
        size += one.iov_len;
        memcpy(connection->output + size, "\r\n", 2);
        size += 2;
    }
    send_all(connection, connection->output, size);
    for (size_t i = 0; i < n; i++) {
        char *answer = receive_message(connection);
        if (!strstr(answer, "\"seq\":") || strstr(answer, "\"error\"")) fail("nats: %s", answer);
    }
}

static void peer_close(void *store) {
    struct stream *stream = store;
    for (size_t i = 0; i < options.threads; i++)
        if (stream->callers[i]) end_connection(stream->callers[i]);
    free(stream->callers);
    free(stream);
}

static uint64_t peer_count(const char *path, size_t number) {
    (void)path;
    char name[32];
    snprintf(name, sizeof name, "bench%zu", number);
    struct connection *connection = make_connection();
    char *found = strstr(ask(connection, "STREAM.INFO", name, ""), "\"messages\":");
    if (!found) fail("nats: no count");
    uint64_t count = strtoull(found + 11, NULL, 10);
    end_connection(connection);
    return count;
}
