/* A relay with no idea of what it carries: what a server on one core could reach at most.

     relay PORT

   The first line of a connection is its name: a letter and digits; the answer is `welcome`. A line
   that begins with `*` goes to everybody else, any other to the one whose name it begins with, each
   as it stands. One write for each connection and turn; nothing is kept, checked or logged. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, READ = 65536, NAMES = 65536 };

struct conn {
    char *out, *rest;             /* to be written; a line that has not ended */
    size_t used, sent, room, kept;
    int open, named, dirty, waiting;
};

static struct conn *conns;
static int by_name[NAMES], *dirty, dirty_count, highest, poller;

static void die(const char *why) { perror(why); exit(1); }

static void queue(int fd, const char *data, size_t size)
{
    struct conn *one = &conns[fd];
    if (one->used + size > one->room) {
        one->room = 2 * (one->used + size);
        if (!(one->out = realloc(one->out, one->room))) die("memory");
    }
    memcpy(one->out + one->used, data, size);
    one->used += size;
    if (!one->dirty) dirty[dirty_count++] = fd;
    one->dirty = 1;
}

static void broadcast(int from, const char *data, size_t size)
{
    if (!size) return;
    for (int fd = 0; fd <= highest; fd++)
        if (fd != from && conns[fd].named) queue(fd, data, size);
}

static void name(int fd, const char *line)
{
    conns[fd].named = 1;
    if (*line == 'r') by_name[atoi(line + 1) % NAMES] = fd;
    queue(fd, "welcome\n", 8);
}

static size_t lines(int fd, const char *data, size_t size)   /* how much of it was lines */
{
    const char *at = data, *end = data + size, *run = data, *stop;
    for (; (stop = memchr(at, '\n', end - at)); at = stop + 1) {
        if (conns[fd].named && *at == '*') continue;   /* these go out together */
        broadcast(fd, run, at - run);
        run = stop + 1;
        if (!conns[fd].named) name(fd, at);
        else if (by_name[atoi(at + 1) % NAMES]) queue(by_name[atoi(at + 1) % NAMES], at, stop + 1 - at);
    }
    broadcast(fd, run, at - run);
    return at - data;
}

static void forget(int fd)
{
    free(conns[fd].out);
    free(conns[fd].rest);
    memset(&conns[fd], 0, sizeof conns[fd]);
    close(fd);
}

static void take(int fd)
{
    static char data[2 * READ];
    struct conn *one = &conns[fd];
    size_t kept = one->kept;
    if (kept) memcpy(data, one->rest, kept);
    ssize_t count = recv(fd, data + kept, READ, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0 || kept > READ) { forget(fd); return; }
    size_t done = lines(fd, data, kept + count);
    one->kept = kept + count - done;
    if (!one->kept) return;
    if (!(one->rest = realloc(one->rest, one->kept))) die("memory");
    memcpy(one->rest, data + done, one->kept);
}

static void put(int fd)
{
    struct conn *one = &conns[fd];
    one->dirty = 0;
    if (!one->open) return;
    ssize_t count = send(fd, one->out + one->sent, one->used - one->sent, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) { forget(fd); return; }
    one->sent += count > 0 ? count : 0;
    int waiting = one->sent < one->used;
    if (!waiting) one->sent = one->used = 0;
    if (waiting == one->waiting) return;
    one->waiting = waiting;
    struct epoll_event event = {.events = EPOLLIN | (waiting ? EPOLLOUT : 0), .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_MOD, fd, &event);
}

static void admit(int listener)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        conns[fd].open = 1;
        if (fd > highest) highest = fd;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    }
}

int main(int argc, char **argv)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    conns = calloc(files.rlim_cur, sizeof *conns);
    dirty = calloc(files.rlim_cur, sizeof *dirty);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(argc > 1 ? argv[1] : "0"))};
    inet_pton(AF_INET, "127.0.0.1", &here.sin_addr);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!conns || !dirty || bind(listener, (void *)&here, sizeof here) || listen(listener, 4096)) die("listen");
    poller = epoll_create1(0);
    struct epoll_event events[EVENTS], event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) admit(listener);
            else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) take(fd);
            if (fd != listener && events[i].events & EPOLLOUT && conns[fd].used) queue(fd, "", 0);
        }
        for (int i = 0; i < dirty_count; i++) put(dirty[i]);
        dirty_count = 0;
    }
}
