/* What the file system gives to a plain loop of the system calls that a server cannot do without, in one thread.
 *
 *     floor plain  DIR COUNT SIZE 0       open, write, close
 *     floor rename DIR COUNT SIZE GROUP   create, write, rename; durable by group
 *     floor link   DIR COUNT SIZE GROUP   O_TMPFILE, write, linkat; durable by group
 *     floor list   DIR SECONDS 0 0        getdents, statx and one row of text for each member, again and again
 *     floor plant  DIR COLLECTIONS MEMBERS SIZE   that many collections with that many files of SIZE bytes each
 *
 * "Durable by group": after each GROUP files one syncfs (staged files, before they get their names), then their names, and
 * one fsync of the directory; GROUP 0 makes nothing durable. Prints the units and the seconds they took.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }

static long must(long result, const char *what) {
    if (result < 0) { fprintf(stderr, "%s: %s\n", what, strerror(errno)); exit(1); }
    return result;
}

static void fill(char *block, long size) {
    unsigned long long x = 88172645463325252ULL;
    for (long i = 0; i < size; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; block[i] = (char)x; }
}

static long files(const char *how, int folder, long count, const char *block, long size, long group) {
    char name[64], staged[64];
    int link = !strcmp(how, "link"), plain = !strcmp(how, "plain");
    long width = group ? group : 1;
    int *open_files = malloc(width * sizeof *open_files);
    for (long from = 0; from < count; from += width) {
        long to = from + width < count ? from + width : count;
        for (long n = from; n < to; n++) {
            snprintf(name, sizeof name, "item-%06ld.bin", n);
            snprintf(staged, sizeof staged, "staged-%06ld", n);
            int file = link ? openat(folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644)
                            : openat(folder, plain ? name : staged, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
            must(file, "open");
            must(write(file, block, size), "write");
            open_files[n - from] = file;
        }
        if (group) must(syncfs(folder), "syncfs");
        for (long n = from; n < to; n++) {
            snprintf(name, sizeof name, "item-%06ld.bin", n);
            snprintf(staged, sizeof staged, "staged-%06ld", n);
            if (link) {
                char path[64];
                snprintf(path, sizeof path, "/proc/self/fd/%d", open_files[n - from]);
                must(linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW), "linkat");
            } else if (!plain) must(renameat(folder, staged, folder, name), "rename");
            close(open_files[n - from]);
        }
        if (group) must(fsync(folder), "fsync");
    }
    return count;
}

static long list(int folder, double seconds) {
    static char entries[65536], row[4096];
    long units = 0;
    volatile long bytes = 0;
    for (double until = now() + seconds; now() < until; units++) {
        must(lseek(folder, 0, SEEK_SET), "lseek");
        long size;
        while ((size = must(syscall(SYS_getdents64, folder, entries, sizeof entries), "getdents")) > 0)
            for (long at = 0; at < size;) {
                struct dirent64 *entry = (struct dirent64 *)(entries + at);
                struct statx s;
                struct tm t;
                char date[64];
                at += entry->d_reclen;
                if (entry->d_name[0] == '.') continue;
                must(statx(folder, entry->d_name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &s), "statx");
                time_t when = s.stx_mtime.tv_sec;
                strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&when, &t));
                bytes += snprintf(row, sizeof row,
                    "<D:response><D:href>/many/%s</D:href><D:propstat><D:prop><D:resourcetype/>"
                    "<D:getcontentlength>%llu</D:getcontentlength><D:getlastmodified>%s</D:getlastmodified>"
                    "<D:getetag>\"%llx-%llx-%x\"</D:getetag></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>"
                    "</D:response>\n", entry->d_name, (unsigned long long)s.stx_size, date,
                    (unsigned long long)s.stx_ino, (unsigned long long)s.stx_size, s.stx_mtime.tv_nsec);
                units++;
            }
    }
    return units;
}

static long plant(int root, long collections, long members, const char *block, long size) {
    char name[64];
    for (long c = 0; c < collections; c++) {
        snprintf(name, sizeof name, "collection-%05ld", c);
        must(mkdirat(root, name, 0755), "mkdir");
        int folder = must(openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open");
        for (long m = 0; m < members; m++) {
            snprintf(name, sizeof name, "member-%04ld.txt", m);
            int file = must(openat(folder, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644), "open");
            if (size) must(write(file, block, size), "write");
            close(file);
        }
        close(folder);
    }
    return collections * members;
}

int main(int count, char **arguments) {
    if (count != 6) { fprintf(stderr, "floor HOW DIR NUMBER NUMBER NUMBER\n"); return 2; }
    const char *how = arguments[1];
    int folder = must(open(arguments[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC), arguments[2]);
    long a = atol(arguments[3]), b = atol(arguments[4]), c = atol(arguments[5]);
    long size = strcmp(how, "plant") ? b : c;
    char *block = malloc(size + 1);
    fill(block, size);
    double start = now();
    long units = !strcmp(how, "list") ? list(folder, atof(arguments[3]))
               : !strcmp(how, "plant") ? plant(folder, a, b, block, size)
               : files(how, folder, a, block, size, c);
    printf("%ld %.9f\n", units, now() - start);
    return 0;
}
