/* The load generator's hot loop: one request at a time on each of many kept-alive connections to 127.0.0.1.
 *
 * Standard input is one line of numbers,
 *     PORT CONNECTIONS SECONDS LOOP STATUS STATUS STATUS RESPONSES ALWAYS LENGTH RECORDS BODY EXPECTED
 * BODY bytes that follow the head of every request, EXPECTED bytes that the first answer of each connection must be, and
 * RECORDS times: two 32-bit little-endian lengths, the head of a request, and the path of a file whose first byte is
 * written anew before the request is sent (none if that length is 0).
 *
 * LOOP: begin again after the last record until the time is over. STATUS: those that are good. RESPONSES: how many end
 * tags of DAV: response an answer must hold (-1: it is no multistatus), counted in every answer (ALWAYS) or in the first of
 * each connection, whose length the others must have. LENGTH: bytes that every body must have (-1: any number).
 *
 * Standard output: lines "units N", "seconds S", "first S" (until the first byte of the first answer), "wrong N TEXT".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 262144, HEAD = 16384, CARRY = 48, PATIENCE = 60000, SETTLE = 50000, MOST = 1024 };
static const char TAG[] = "response>";

typedef struct { char *head, *touch; uint32_t head_length, touch_length; } Record;
typedef struct {
    int socket, status, closes, chunked, answered, in_head, carried, used;
    long long left, length, tags, known;      /* left: bytes of the body or the chunk; -1: until the end */
    int line;                                 /* of the chunked coding: 0 in data, 1 size, 2 after data, 3 trailer */
    int line_length, ignoring;
    unsigned long long size;
    char head[HEAD];
    int head_used;
    char carry[CARRY];
    Record *record;
} Line;

static int port, connections, loop, good[3], always;
static long long responses, length, record_count, body_length, expected_length;
static double limit;
static char *body, *expected;
static Record *records;
static long long next_record, units;
static double start, last, first_byte = -1;
static struct { char text[80]; long long count; } wrongs[32];
static int wrong_count;

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }

static void fail(const char *why) { fprintf(stderr, "%s\n", why); exit(2); }

static void *room(size_t size) { void *p = malloc(size ? size : 1); if (!p) fail("no memory"); return p; }

static void take(void *to, size_t size) { if (size && fread(to, 1, size, stdin) != size) fail("the job is cut short"); }

static void wrong(const char *text) {
    for (int i = 0; i < wrong_count; i++)
        if (!strcmp(wrongs[i].text, text)) { wrongs[i].count++; return; }
    if (wrong_count == 32) wrong_count--;
    snprintf(wrongs[wrong_count].text, sizeof wrongs[0].text, "%s", text);
    wrongs[wrong_count++].count = 1;
}

static int open_connection(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (s < 0 || connect(s, (struct sockaddr *)&address, sizeof address)) fail("no connection");
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return s;
}

static Record *following(void) {
    if (last - start > limit) return NULL;
    if (next_record == record_count) { if (!loop) return NULL; next_record = 0; }
    return &records[next_record++];
}

static int send_request(Line *line, Record *record) {
    struct iovec parts[2] = {{record->head, record->head_length}, {body, body_length}};
    int count = body_length ? 2 : 1, at = 0;
    line->record = record;
    line->status = line->closes = line->chunked = line->carried = line->head_used = line->line = 0;
    line->in_head = 1; line->length = line->tags = 0; line->left = -1;
    if (record->touch_length) {
        int file = open(record->touch, O_WRONLY | O_CLOEXEC);
        if (file < 0 || pwrite(file, "p", 1, 0) != 1) fail("a file of the listing could not be written");
        close(file);
    }
    while (at < count) {
        struct msghdr message = {.msg_iov = parts + at, .msg_iovlen = count - at};
        ssize_t sent = sendmsg(line->socket, &message, MSG_NOSIGNAL);
        if (sent < 0) return 0;
        while (at < count && (size_t)sent >= parts[at].iov_len) sent -= parts[at++].iov_len;
        if (at < count) { parts[at].iov_base = (char *)parts[at].iov_base + sent; parts[at].iov_len -= sent; }
    }
    return 1;
}

/* Is what ends before this place "</", with or without a prefix after it? */
static int closes_tag(const char *from, const char *place) {
    if (place > from && place[-1] == ':')
        for (place--; place > from && (isalnum((unsigned char)place[-1]) || strchr("._-", place[-1]));) place--;
    return place - from >= 2 && place[-1] == '/' && place[-2] == '<';
}

static long long tags_in(const char *from, const char *first, const char *before, const char *end) {
    const size_t needed = sizeof TAG - 1;
    long long found = 0;
    for (const char *p = first; p < end && (p = memmem(p, end - p, TAG, needed)) && p < before; p += needed)
        found += closes_tag(from, p);
    return found;
}

/* End tags in decoded bytes of the body, of which the last ones before are kept for one that began there. */
static void count_tags(Line *line, const char *data, size_t size) {
    const size_t needed = sizeof TAG - 1;
    char seam[2 * CARRY + sizeof TAG];
    size_t lead = size < CARRY + needed ? size : CARRY + needed;
    memcpy(seam, line->carry, line->carried);
    memcpy(seam + line->carried, data, lead);
    /* What ends in the bytes before has been counted. */
    const char *first = seam + (line->carried < (int)needed ? 0 : line->carried - needed + 1);
    line->tags += tags_in(seam, first, seam + line->carried + CARRY, seam + line->carried + lead);
    if (size > CARRY) line->tags += tags_in(data, data + CARRY, data + size, data + size);
    size_t keep = size >= CARRY ? 0 : line->carried + size > CARRY ? CARRY - size : (size_t)line->carried;
    size_t taken = size < CARRY ? size : CARRY;
    memmove(line->carry, line->carry + line->carried - keep, keep);
    memcpy(line->carry + keep, data + size - taken, taken);
    line->carried = keep + taken;
}

static void eat(Line *line, const char *data, size_t size) {
    if (expected_length && !line->answered && line->status == good[0]
        && (line->length + (long long)size > expected_length || memcmp(expected + line->length, data, size)))
        line->tags = -1;
    if (responses >= 0 && (always || !line->answered)) count_tags(line, data, size);
    line->length += size;
}

static int begin(Line *line) {
    char *head = line->head;
    if (strncmp(head, "HTTP/1.", 7) || (line->status = atoi(head + 9)) < 100 || line->status > 599) return 0;
    line->in_head = 0; line->closes = head[7] == '0';
    for (char *field = strstr(head, "\r\n"); field && field[2] && field[2] != '\r'; field = strstr(field + 2, "\r\n")) {
        char *name = field + 2;
        if (!strncasecmp(name, "content-length:", 15)) line->left = atoll(name + 15);
        else if (!strncasecmp(name, "transfer-encoding: chunked", 26)) line->chunked = 1;
        else if (!strncasecmp(name, "connection: close", 17)) line->closes = 1;
    }
    if (line->status == 204 || line->status == 304) { line->left = 0; line->chunked = 0; }
    if (line->chunked) { line->line = 1; line->line_length = line->ignoring = 0; line->size = 0; line->left = 0; }
    return 1;
}

/* One byte of the lines of the chunked coding (RFC 9112 section 7.1): 1 when it is complete. */
static int chunk_line(Line *line, char c) {
    if (c == '\r') return 0;
    if (c != '\n') {
        if (line->line == 1 && !line->ignoring) {
            int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
            if (digit < 0) line->ignoring = 1; else line->size = line->size * 16 + digit;
        }
        line->line_length++;
        return 0;
    }
    if (line->line == 3) { if (!line->line_length) return 1; }
    else if (line->line == 2) line->line = 1;
    else if (line->size) { line->left = line->size; line->line = 0; }
    else line->line = 3;
    line->line_length = line->ignoring = 0; line->size = 0;
    return 0;
}

/* 1: the answer is complete; 0: it goes on; -1: it is no answer. */
static int feed(Line *line, const char *data, size_t size) {
    if (line->in_head) {
        size_t before = line->head_used, part = size < HEAD - 1 - before ? size : HEAD - 1 - before;
        memcpy(line->head + before, data, part);
        line->head_used += part; line->head[line->head_used] = 0;
        char *end = strstr(line->head, "\r\n\r\n");
        if (!end) return line->head_used == HEAD - 1 ? -1 : 0;
        size_t used = end + 4 - line->head - before;
        data += used; size -= used;
        if (!begin(line)) return -1;
    }
    if (!line->chunked) {
        if (line->left >= 0 && (long long)size > line->left) return -1;
        eat(line, data, size);
        return line->left >= 0 && !(line->left -= size);
    }
    for (const char *end = data + size; data < end;) {
        if (line->line) { if (chunk_line(line, *data++)) return 1; continue; }
        long long part = end - data < line->left ? end - data : line->left;
        eat(line, data, part);
        data += part;
        if (!(line->left -= part)) { line->line = 2; line->line_length = 0; }
    }
    return 0;
}

static void judge(Line *line) {
    char text[80];
    if (line->status != good[0] && line->status != good[1] && line->status != good[2]) {
        snprintf(text, sizeof text, "status %d", line->status);
        wrong(text);
        return;
    }
    if (responses >= 0) {
        if ((always || !line->answered) && line->tags != responses) {
            snprintf(text, sizeof text, "%lld responses in place of %lld", line->tags, responses);
            wrong(text);
            return;
        }
        if (!line->answered) line->known = line->length;
        else if (!always && line->length != line->known) { wrong("an answer of another length"); return; }
    }
    if (length >= 0 && line->length != length) { wrong("another body"); return; }
    if (expected_length && !line->answered && line->tags < 0) { wrong("another body"); return; }
    line->answered = 1;
    units += responses >= 0 ? responses : 1;
}

static void read_job(void) {
    if (scanf("%d %d %lf %d %d %d %d %lld %d %lld %lld %lld %lld", &port, &connections, &limit, &loop, good, good + 1,
              good + 2, &responses, &always, &length, &record_count, &body_length, &expected_length) != 13
        || getchar() != '\n' || connections < 1 || connections > MOST || record_count < 1 || body_length < 0 || expected_length < 0)
        fail("the job is not understood");
    take(body = room(body_length), body_length);
    take(expected = room(expected_length), expected_length);
    records = room(record_count * sizeof *records);
    for (Record *r = records; r < records + record_count; r++) {
        uint32_t lengths[2];
        take(lengths, sizeof lengths);
        r->head_length = lengths[0]; r->touch_length = lengths[1];
        take(r->head = room(lengths[0]), lengths[0]);
        take(r->touch = room(lengths[1] + 1), lengths[1]);
        r->touch[lengths[1]] = 0;
    }
}

int main(void) {
    static char buffer[BLOCK];
    read_job();
    int poll = epoll_create1(EPOLL_CLOEXEC), open_lines = 0;
    Line *lines = calloc(connections, sizeof *lines);
    if (!lines) fail("no memory");
    if (!loop && connections > record_count) connections = record_count;
    for (int i = 0; i < connections; i++) {
        lines[i].socket = open_connection();
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &lines[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, lines[i].socket, &event);
    }
    /* Some servers take connections slowly, which is not what is measured. */
    usleep(SETTLE);
    start = last = now();
    for (; open_lines < connections; open_lines++)
        if (!send_request(&lines[open_lines], following())) fail("the connection ended");
    while (open_lines) {
        struct epoll_event events[MOST];
        int ready = epoll_wait(poll, events, MOST, PATIENCE);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) { wrong("no answer"); break; }
        for (int i = 0; i < ready; i++) {
            Line *line = events[i].data.ptr;
            ssize_t size = recv(line->socket, buffer, BLOCK, 0);
            if (first_byte < 0 && size > 0) first_byte = now() - start;
            int done;
            if (size > 0) done = feed(line, buffer, size);
            else done = !line->in_head && !line->chunked && line->left < 0 ? 1 : -1;
            if (!done) continue;
            last = now();
            if (done > 0) judge(line);
            /* A server may end an idle connection, and then the request is sent again on another (RFC 9112 section 9.3.1). */
            int idle = size <= 0 && line->used && line->in_head && !line->head_used;
            if (done < 0 && !idle) wrong(size > 0 ? "no HTTP/1.1 response" : "the connection ended before the response");
            Record *record = idle ? line->record : following();
            line->used = 1;
            if (record && !line->closes && done > 0 && size > 0 && send_request(line, record)) continue;
            close(line->socket);
            open_lines--;
            if (!record) continue;
            line->socket = open_connection();
            line->used = 0;
            struct epoll_event event = {.events = EPOLLIN, .data.ptr = line};
            epoll_ctl(poll, EPOLL_CTL_ADD, line->socket, &event);
            open_lines++;
            if (!send_request(line, record)) fail("the connection ended");
        }
    }
    printf("units %lld\nseconds %.9f\nfirst %.9f\n", units, last - start, first_byte < 0 ? 0 : first_byte);
    for (int i = 0; i < wrong_count; i++) printf("wrong %lld %s\n", wrongs[i].count, wrongs[i].text);
    return 0;
}
