/* The load of a benchmark. It counts bytes and parses nothing, so that it is never the limit.

     load flood SECONDS WINDOW        as fast as it goes, at most WINDOW messages on their way
     load pace SECONDS RATE           RATE messages a second, each delivery timed from the moment
                                      it was due, so that a server that stalls is charged for it
     load login ADDRESS PORT TOKEN    connect and log in at once; done when each has seen TOKEN

   What to send comes on stdin. For flood and pace a block for each group, whose descriptors are
   inherited, logged in and silent: `COUNT SENDER... COUNT RECEIVER... LENGTH`, a line end, LENGTH
   bytes. The senders of a group take turns, message by message, and may hear each other. For login
   a block for each connection: `LENGTH`, a line end, LENGTH bytes.

   The first message of each group goes alone: its deliveries tell how many bytes one has. All
   others must have as many, at every receiver, and nothing may be over; this is checked at the end.
   Received bytes are dropped in the kernel (MSG_TRUNC, tcp(7)). The answer is one object of JSON. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, DEEPEST = 4096 };   /* DEEPEST: messages on their way where only a rate holds them back */
static const double PATIENCE = 30;       /* seconds for what is still on its way, only for giving up */

struct group {
    int *senders, turns, receivers;   /* `turns`: how many senders take them */
    char *text;                 /* the message `window + 1` times, to write many with one call */
    size_t length;              /* of the message, bytes as sent */
    long size;                  /* of a delivery, bytes as received */
    long sent, written, least;  /* messages; bytes; messages that the slowest receiver has */
    int *level;                 /* receivers by messages they have, modulo window + 1 */
};

struct peer {
    int fd;
    struct group *group;
    long bytes, got;
};

static struct group *groups;
static struct peer *peers;      /* by descriptor; `group` is NULL for a sender */
static int group_count, window;
static long stray;              /* bytes at a sender */
static double rate, *late;      /* messages a second, 0: no rate; seconds of each delivery */
static long late_count, late_room;

static void die(const char *why) { fprintf(stderr, "load: %s: %s\n", why, strerror(errno)); exit(2); }

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static double busy(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void *room(size_t count, size_t size)
{
    void *found = calloc(count, size);
    if (!found) die("memory");
    return found;
}

static char *block(size_t *length)   /* `LENGTH`, a line end, the bytes; NULL where no more come */
{
    if (scanf("%zu", length) != 1 || getchar() != '\n') return NULL;
    char *bytes = room(*length + 1, 1);
    if (fread(bytes, 1, *length, stdin) != *length) die("a short block");
    return bytes;
}

static void watch(int poll, int fd, unsigned events, int change)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(poll, change, fd, &event)) die("epoll_ctl");
}

static int read_peer(int poll)
{
    int fd;
    if (scanf("%d", &fd) != 1 || fd < 0 || fd >= getdtablesize()) die("a bad descriptor");
    watch(poll, fd, EPOLLIN, EPOLL_CTL_ADD);
    return fd;
}

static void read_groups(int poll)
{
    int limit = getdtablesize();
    peers = room(limit, sizeof *peers);
    groups = room(limit, sizeof *groups);
    for (struct group *one = groups; scanf("%d", &one->turns) == 1; one++, group_count++) {
        one->senders = room(one->turns, sizeof *one->senders);
        for (int i = 0; i < one->turns; i++) one->senders[i] = read_peer(poll);
        if (scanf("%d", &one->receivers) != 1) die("no receivers");
        for (int i = 0; i < one->receivers; i++) {
            int fd = read_peer(poll);
            peers[fd] = (struct peer){.fd = fd, .group = one};
        }
        char *message = block(&one->length);
        if (!message) die("no message");
        one->text = room(window + 1, one->length);
        for (int i = 0; i <= window; i++) memcpy(one->text + i * one->length, message, one->length);
        one->level = room(window + 1, sizeof *one->level);
        one->level[0] = one->receivers;
    }
}

static long one_line(int fd)   /* bytes of the first delivery */
{
    char found;
    for (long bytes = 1;; bytes++) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, PATIENCE * 1000) != 1) { errno = ETIMEDOUT; die("the first message"); }
        if (recv(fd, &found, 1, 0) != 1) die("the first message");
        if (found == '\n') return bytes;
    }
}

static void calibrate(void)
{
    for (struct group *one = groups; one < groups + group_count; one++) {
        if (send(*one->senders, one->text, one->length, 0) != (ssize_t)one->length) die("send");
        for (int fd = 0; fd < getdtablesize(); fd++) {
            if (peers[fd].group != one) continue;
            long size = one_line(fd);
            if (one->size && one->size != size) { errno = 0; die("deliveries of different size"); }
            one->size = size;
        }
    }
}

static void pump(int poll, struct group *one, long allowed)
{
    if (one->sent < allowed) one->sent = allowed;
    size_t left;
    while ((left = one->sent * one->length - one->written)) {
        size_t begin = one->written % one->length;
        size_t most = one->turns > 1 ? one->length - begin : window * one->length;
        int fd = one->senders[one->written / one->length % one->turns];
        ssize_t wrote = send(fd, one->text + begin, left < most ? left : most, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (wrote < 0 && errno != EAGAIN) die("send");
        if (wrote < 0) { watch(poll, fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD); return; }
        one->written += wrote;
    }
}

static void note_delays(struct peer *one, long got, double begun)
{
    double at = now();
    for (long i = one->got; i < got; i++) {
        if (late_count == late_room) {
            late_room = late_room ? 2 * late_room : 65536;
            late = realloc(late, late_room * sizeof *late);
            if (!late) die("memory");
        }
        late[late_count++] = at - (begun + i / rate);
    }
}

static void take(struct peer *one, double begun)
{
    ssize_t count = recv(one->fd, NULL, 1 << 24, MSG_TRUNC | MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) die("a receiver was cut off");
    struct group *group = one->group;
    one->bytes += count;
    long got = one->bytes / group->size;
    if (got > group->sent) { errno = 0; die("more than was sent"); }
    if (rate) note_delays(one, got, begun);
    group->level[one->got % (window + 1)]--;
    group->level[got % (window + 1)]++;
    one->got = got;
    while (group->least < group->sent && !group->level[group->least % (window + 1)]) group->least++;
}

static void served(int poll, struct epoll_event *event, double begun)
{
    int fd = event->data.fd;
    if (peers[fd].group) { take(&peers[fd], begun); return; }
    if (event->events & EPOLLOUT) watch(poll, fd, EPOLLIN, EPOLL_CTL_MOD);
    if (!(event->events & (EPOLLIN | EPOLLHUP))) return;
    ssize_t count = recv(fd, NULL, 1 << 24, MSG_TRUNC | MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN)) die("a sender was cut off");
    stray += count > 0 ? count : 0;
}

static int ticker(int poll)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    long gap = 1e9 / rate;
    struct itimerspec every = {.it_interval = {0, gap}, .it_value = {0, gap}};
    if (fd < 0 || fd >= getdtablesize() || timerfd_settime(fd, 0, &every, NULL)) die("timerfd");
    watch(poll, fd, EPOLLIN, EPOLL_CTL_ADD);
    return fd;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double share) { return late_count ? late[(long)(share * (late_count - 1))] : 0; }

static long over(void)   /* bytes beyond whole deliveries, or not asked for */
{
    long found = stray;
    for (struct group *one = groups; one < groups + group_count; one++)   /* the senders hear each other */
        found -= (one->sent + 1) * (one->turns - 1) * one->size;
    if (found < 0) found = 0;   /* not all of it yet */
    for (int fd = 0; fd < getdtablesize(); fd++) {
        int waiting = 0;
        if (!peers[fd].group) continue;
        if (ioctl(fd, FIONREAD, &waiting)) die("FIONREAD");
        found += waiting + peers[fd].bytes % peers[fd].group->size;
    }
    return found;
}

static void report(double wall, double cpu)
{
    long sent = 0, wanted = 0, got = 0;
    for (struct group *one = groups; one < groups + group_count; one++) {
        sent += one->sent;
        wanted += one->sent * one->receivers;
    }
    for (int fd = 0; fd < getdtablesize(); fd++) got += peers[fd].got;
    qsort(late, late_count, sizeof *late, by_size);
    printf("{\"wall\":%.6f,\"cpu\":%.6f,\"sent\":%ld,\"wanted\":%ld,\"got\":%ld,\"over\":%ld,"
           "\"size\":%ld,\"p50\":%.9f,\"p99\":%.9f,\"most\":%.9f}\n",
           wall, cpu, sent, wanted, got, over(), groups->size, quantile(.5), quantile(.99), quantile(1));
}

static void run(double seconds)
{
    int poll = epoll_create1(0), ticks = -1;
    struct epoll_event events[EVENTS];
    read_groups(poll);
    calibrate();
    if (rate) ticks = ticker(poll);
    double begun = now(), used = busy(), ended = begun;
    for (int going = 1; going && ended < begun + seconds + PATIENCE;) {
        ended = now();
        int more = ended < begun + seconds;
        long due = rate ? (ended - begun) * rate + 1 : 0;
        going = more;
        for (struct group *one = groups; one < groups + group_count; one++) {
            long allowed = one->least + window;
            if (rate && due < allowed) allowed = due;
            pump(poll, one, more ? allowed : one->sent);
            going |= one->least < one->sent;
        }
        if (!going) break;
        int count = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < count; i++) {
            unsigned long expired;
            if (events[i].data.fd != ticks) served(poll, &events[i], begun);
            else if (read(ticks, &expired, sizeof expired) < 0 && errno != EAGAIN) die("timerfd");
        }
    }
    report(ended - begun, busy() - used);
}

/* --- log-ins ------------------------------------------------------------------------------------ */

struct guest {
    char *hello;
    size_t length, seen;
    char tail[4096];   /* what has come so far: as much as a log-in brings */
};

static int greeted(int fd, struct guest *one, const char *token)
{
    ssize_t count = recv(fd, one->tail + one->seen, sizeof one->tail - one->seen, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return 0;
    if (count <= 0) die("a log-in was refused");
    one->seen += count;
    if (memmem(one->tail, one->seen, token, strlen(token))) return 1;
    size_t keep = strlen(token), gone = one->seen > keep ? one->seen - keep : 0;
    memmove(one->tail, one->tail + gone, one->seen -= gone);
    return 0;
}

static void log_in(const char *address, int port, const char *token)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct guest *guests = room(getdtablesize(), sizeof *guests);
    struct epoll_event events[EVENTS];
    int poll = epoll_create1(0), count = 0, on = 1;
    inet_pton(AF_INET, address, &there.sin_addr);
    while ((guests[count].hello = block(&guests[count].length))) count++;   /* before the clock runs */
    int *who = room(getdtablesize(), sizeof *who);
    double begun = now(), used = busy();
    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (fd < 0) die("socket");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connect(fd, (void *)&there, sizeof there) && errno != EINPROGRESS) die("connect");
        who[fd] = i;
        watch(poll, fd, EPOLLOUT, EPOLL_CTL_ADD);
    }
    for (int done = 0; done < count;) {
        int found = epoll_wait(poll, events, EVENTS, PATIENCE * 1000);
        if (found <= 0) { errno = ETIMEDOUT; die("log-ins"); }
        for (int i = 0; i < found; i++) {
            int fd = events[i].data.fd;
            struct guest *one = &guests[who[fd]];
            if (events[i].events & EPOLLOUT) {
                if (send(fd, one->hello, one->length, MSG_NOSIGNAL) != (ssize_t)one->length) die("hello");
                watch(poll, fd, EPOLLIN, EPOLL_CTL_MOD);
            } else if (greeted(fd, one, token)) {
                watch(poll, fd, 0, EPOLL_CTL_MOD);
                done++;
            }
        }
    }
    printf("{\"wall\":%.6f,\"cpu\":%.6f,\"got\":%d}\n", now() - begun, busy() - used, count);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "login")) {
        log_in(argv[2], atoi(argv[3]), argv[4]);
        pause();   /* the sessions stay until this is killed: their end is not to be measured */
    }
    if (argc != 4) { fprintf(stderr, "load: see the head of load.c\n"); return 2; }
    rate = strcmp(argv[1], "pace") ? 0 : atof(argv[3]);
    window = rate ? DEEPEST : atoi(argv[3]);
    run(atof(argv[2]));
    return 0;
}
