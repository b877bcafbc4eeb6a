/*
 * A FastCGI application that costs as little as it can: it answers each request with as many bytes as its query string says (1024 if it says
 * nothing), once it has the whole request.
 *
 *   cc -O2 -o responder measures/responder.c && ./responder /path/of/its/socket
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BEGIN_REQUEST = 1, END_REQUEST = 3, PARAMS = 4, STDIN = 5, STDOUT = 6 };
enum { KEEP_CONN = 1, HEAD = 8, MOST_CONNECTIONS = 4096, MOST_CONTENT = 65535, MOST_ANSWER = 1 << 20 };

struct connection {
    uint8_t input[HEAD + MOST_CONTENT + 255], params[MOST_CONTENT];
    size_t have, params_have;
    uint16_t request;
    int keeps;
};

static struct connection *connections[MOST_CONNECTIONS];
static uint8_t answer[MOST_ANSWER + MOST_ANSWER / 1024 + 4096];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* The length before a name or a value. */
static size_t length(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    if (p < end && *p < 128) {
        *at += 1;
        return *p;
    }
    if (end - p < 4) {
        *at = end;
        return 0;
    }
    *at += 4;
    return (size_t)(p[0] & 127) << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static size_t wanted(const struct connection *c) {
    const uint8_t *at = c->params, *end = at + c->params_have;
    while (at < end) {
        size_t name = length(&at, end), value = length(&at, end);
        if (name + value > (size_t)(end - at)) break;
        if (name == 12 && memcmp(at, "QUERY_STRING", 12) == 0 && value > 0 && value < 8) {
            char digits[8] = {0};
            memcpy(digits, at + name, value);
            size_t size = strtoul(digits, NULL, 10);
            return size < MOST_ANSWER ? size : MOST_ANSWER;
        }
        at += name + value;
    }
    return 1024;
}

static uint8_t *record(uint8_t *out, int kind, uint16_t request, size_t size) {
    const uint8_t head[HEAD] = {1, kind, request >> 8, request & 255, size >> 8, size & 255, 0, 0};
    memcpy(out, head, HEAD);
    return out + HEAD;
}

/* Whether the connection goes on. */
static int reply(int fd, struct connection *c) {
    size_t left = wanted(c);
    char head[128];
    size_t head_size = snprintf(head, sizeof head, "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", left);
    uint8_t *out = record(answer, STDOUT, c->request, head_size);
    memcpy(out, head, head_size);
    out += head_size;
    while (left > 0) {
        size_t part = left < 32768 ? left : 32768;
        out = record(out, STDOUT, c->request, part);
        memset(out, 'x', part);
        out += part;
        left -= part;
    }
    out = record(out, STDOUT, c->request, 0);
    out = record(out, END_REQUEST, c->request, 8);
    memset(out, 0, 8);
    out += 8;
    for (uint8_t *at = answer; at < out;) {
        ssize_t sent = send(fd, at, out - at, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) return 0;
        at += sent > 0 ? sent : 0;
    }
    return c->keeps;
}

/* Whether the connection goes on. */
static int take(int fd, struct connection *c) {
    ssize_t got = read(fd, c->input + c->have, sizeof c->input - c->have);
    if (got <= 0) return got < 0 && errno == EINTR;
    c->have += got;
    size_t used = 0;
    while (c->have - used >= HEAD) {
        const uint8_t *head = c->input + used, *content = head + HEAD;
        size_t size = head[4] << 8 | head[5], whole = HEAD + size + head[6];
        if (c->have - used < whole) break;
        used += whole;
        if (head[1] == BEGIN_REQUEST && size >= 3) {
            c->request = head[2] << 8 | head[3];
            c->keeps = content[2] & KEEP_CONN;
            c->params_have = 0;
        } else if (head[1] == PARAMS && c->params_have + size <= sizeof c->params) {
            memcpy(c->params + c->params_have, content, size);
            c->params_have += size;
        } else if (head[1] == STDIN && size == 0 && !reply(fd, c)) {
            return 0;
        }
    }
    memmove(c->input, c->input + used, c->have -= used);
    return 1;
}

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path) {
        fprintf(stderr, "usage: responder SOCKET\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    strcpy(address.sun_path, argv[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) fail(argv[1]);
    int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[64];
    if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, listener, &event)) fail("epoll");
    for (;;) {
        int count = epoll_wait(set, events, 64, -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                if (!take(fd, connections[fd])) close(fd);
                continue;
            }
            if ((fd = accept(listener, NULL, NULL)) < 0) continue;
            if (fd >= MOST_CONNECTIONS || (!connections[fd] && !(connections[fd] = malloc(sizeof **connections)))) {
                close(fd);
                continue;
            }
            connections[fd]->have = 0;
            event.data.fd = fd;
            if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
        }
    }
}
