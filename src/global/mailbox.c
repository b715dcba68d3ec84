#include "global/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "util/file.h"

const char *mailbox_dsn_status(enum mailbox_result result)
{
    switch (result) {
    case MAILBOX_DELIVERED:
        return "2.0.0";
    case MAILBOX_BUSY:
        return "4.2.0";
    case MAILBOX_RETRY:
        return "4.3.0";
    case MAILBOX_FULL:
        return "5.2.2";
    default:
        return "5.2.0";
    }
}

static enum mailbox_result fail(enum mailbox_result result, struct strbuf *why,
                                const char *what, int error)
{
    strbuf_addf(why, "%s: %s", what, strerror(error));
    return result;
}

/* What a failed system call means for the mail. */
static enum mailbox_result verdict(int error)
{
    switch (error) {
    case EDQUOT:
    case EFBIG:
        return MAILBOX_FULL;
    case ENOSPC:
    case EIO:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ESTALE:
    case EINTR:
        return MAILBOX_RETRY;
    case EAGAIN:
        return MAILBOX_BUSY;
    default:
        return MAILBOX_REFUSED;
    }
}

/* -- opening -- */

/* Only root can have made this name: its directory is root's and closed to others. */
static int open_created(const char *path, struct strbuf *why, enum mailbox_result *res)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY,
                  0600);

    if (fd < 0)
        *res = fail(verdict(errno), why, "cannot create file exclusively", errno);
    return fd;
}

static int refuse(int fd, enum mailbox_result result, enum mailbox_result *res)
{
    close(fd);
    *res = result;
    return -1;
}

static int check_opened(int fd, const struct mailbox_file *file, struct strbuf *why,
                        enum mailbox_result *res)
{
    struct stat st, name;

    if (fstat(fd, &st) < 0 || lstat(file->path, &name) < 0) {
        int error = errno;

        close(fd);
        *res = fail(verdict(error), why, "cannot inspect file", error);
        return -1;
    }
    if (S_ISCHR(st.st_mode))
        return fd;
    if (!S_ISREG(st.st_mode)) {
        strbuf_add_str(why, "file is not a regular file");
        return refuse(fd, MAILBOX_REFUSED, res);
    }
    if (st.st_nlink != 1) {
        strbuf_addf(why, "file has %lu hard links", (unsigned long)st.st_nlink);
        return refuse(fd, MAILBOX_REFUSED, res);
    }
    if (S_ISLNK(name.st_mode) && name.st_uid != 0) {
        strbuf_add_str(why, "file is a symbolic link");
        return refuse(fd, MAILBOX_REFUSED, res);
    }
    if (file->strict && st.st_uid != file->owner) {
        strbuf_addf(why, "destination %s is not owned by recipient", file->path);
        return refuse(fd, MAILBOX_BUSY, res);
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return fd;
}

/* A link is followed only when root made it, which is a way to move mailboxes. */
static int open_mailbox(const struct mailbox_file *file, struct strbuf *why,
                        enum mailbox_result *res)
{
    int flags = O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    struct stat st;
    int fd = open(file->path, flags | O_NOFOLLOW);

    if (fd < 0 && errno == ELOOP && lstat(file->path, &st) == 0 && st.st_uid == 0)
        fd = open(file->path, flags);
    else if (fd < 0 && errno == ENOENT)
        return open_created(file->path, why, res);
    if (fd >= 0)
        return check_opened(fd, file, why, res);
    *res = fail(verdict(errno), why, "cannot open file", errno);
    return -1;
}

/* -- locking -- */

static bool lock_style(int fd, const struct mailbox_file *file, enum lock_style style,
                       struct strbuf *why, enum mailbox_result *res)
{
    if (!(file->locks & style))
        return true;
    for (unsigned i = 0;; i++) {
        enum lock_result lock = lock_try(fd, style, LOCK_EXCLUSIVE);

        if (lock == LOCK_OK)
            return true;
        if (lock == LOCK_FAILED || i + 1 >= file->lock_tries)
            break;
        sleep((unsigned)file->lock_wait_s);
    }
    *res = fail(MAILBOX_BUSY, why, "unable to lock for exclusive access", errno);
    return false;
}

static bool lock_mailbox(int fd, const struct mailbox_file *file, struct strbuf *why,
                         enum mailbox_result *res)
{
    return lock_style(fd, file, LOCK_FCNTL, why, res) &&
           lock_style(fd, file, LOCK_FLOCK, why, res);
}

/* -- writing -- */

struct output {
    int fd;
    int64_t size;  /* of the file so far */
    int64_t limit; /* 0: none */
};

static enum mailbox_result write_copy(struct output *out, struct mailbox_copy *copy,
                                      struct strbuf *why)
{
    struct span piece;

    while ((piece = mailbox_copy_next(copy)).len > 0) {
        out->size += (int64_t)piece.len;
        if (out->limit > 0 && out->size > out->limit)
            return fail(MAILBOX_FULL, why, "error writing message", EFBIG);
        if (!file_write_full(out->fd, piece.ptr, piece.len))
            return fail(verdict(errno), why, "error writing message", errno);
    }
    if (copy->failed) {
        strbuf_add_str(why, "error reading queue file");
        return MAILBOX_RETRY;
    }
    return MAILBOX_DELIVERED;
}

static enum mailbox_result write_message(struct output *out,
                                         const struct mailbox_message *message,
                                         unsigned flags, bool sync, struct strbuf *why)
{
    struct mailbox_copy copy;
    enum mailbox_result result;

    mailbox_copy_init(&copy, message, flags);
    result = write_copy(out, &copy, why);
    mailbox_copy_free(&copy);
    if (result == MAILBOX_DELIVERED && sync && fsync(out->fd) < 0)
        result = fail(verdict(errno), why, "error writing message", errno);
    return result;
}

/* "user@offset" for the comsat service of this host, which may not be there. */
static void notify_biff(const char *user, off_t offset)
{
    const struct servent *service = getservbyname("biff", "udp");
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct strbuf text = STRBUF_INIT;
    int fd;

    if (!service)
        return;
    to.sin_port = (in_port_t)service->s_port;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    strbuf_addf(&text, "%s@%lld", user, (long long)offset);
    sendto(fd, text.ptr, text.len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to,
           sizeof to);
    close(fd);
    strbuf_free(&text);
}

static enum mailbox_result append_open(int fd, const struct mailbox_file *file,
                                       const struct mailbox_message *message,
                                       struct strbuf *why)
{
    struct output out = {.fd = fd, .limit = file->size_limit};
    enum mailbox_result result;
    struct stat st;
    off_t old_size;
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);

    old_size = regular ? lseek(fd, 0, SEEK_END) : 0;
    if (old_size < 0)
        return fail(verdict(errno), why, "seek file", errno);
    out.size = old_size;
    result = write_message(&out, message,
                           MAILBOX_FROM_LINE | MAILBOX_QUOTE_FROM | MAILBOX_BLANK_END,
                           regular, why);
    if (result != MAILBOX_DELIVERED && regular && ftruncate(fd, old_size) < 0)
        strbuf_addf(why, " (and cannot cut it back: %s)", strerror(errno));
    if (result == MAILBOX_DELIVERED && file->biff_user)
        notify_biff(file->biff_user, old_size);
    return result;
}

enum mailbox_result mailbox_append(const struct mailbox_file *file,
                                   const struct mailbox_message *message,
                                   struct strbuf *why)
{
    enum mailbox_result result = MAILBOX_DELIVERED;
    int fd = open_mailbox(file, why, &result);

    if (fd < 0)
        return result;
    if (lock_mailbox(fd, file, why, &result))
        result = append_open(fd, file, message, why);
    close(fd); /* gives up the locks, too */
    return result;
}

/* -- maildir -- */

static bool make_dir(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* path and what leads to it. What lies above may be there though we must not look. */
static bool make_dirs(char *path)
{
    if (make_dir(path))
        return true;
    if (errno != ENOENT)
        return false;
    for (char *cp = path + 1; *cp; cp++) {
        bool made;

        if (*cp != '/')
            continue;
        *cp = '\0';
        made = make_dir(path) || errno == EROFS;
        *cp = '/';
        if (!made)
            return false;
    }
    return make_dir(path);
}

/* tmp comes last: who finds it finds all. */
static bool make_maildir(const struct maildir *dir)
{
    static const char *const parts[] = {"new", "cur", "tmp"};
    struct strbuf path = STRBUF_INIT;
    bool made = true;
    int error;

    for (size_t i = 0; made && i < ARRAY_LEN(parts); i++) {
        strbuf_reset(&path);
        strbuf_addf(&path, "%s/%s", dir->path, parts[i]);
        made = make_dirs(path.ptr);
    }
    error = errno;
    strbuf_free(&path);
    errno = error;
    return made;
}

static int create_tmp(const struct maildir *dir, const char *path)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = open(path, flags, 0600);

    if (fd < 0 && errno == ENOENT && make_maildir(dir))
        fd = open(path, flags, 0600);
    return fd;
}

/* Names are unique by device and inode number of a file that exists meanwhile, and
 * by the time. */
static void final_path(const struct maildir *dir, const struct timespec *now, int fd,
                       struct strbuf *path)
{
    struct stat st = {0};

    fstat(fd, &st);
    strbuf_addf(path, "%s/new/%lld.V%llxI%llxM%ld.%s", dir->path,
                (long long)now->tv_sec, (unsigned long long)st.st_dev,
                (unsigned long long)st.st_ino, now->tv_nsec / 1000, dir->hostname);
}

static bool sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good;

    if (fd < 0)
        return false;
    good = fsync(fd) == 0 || errno == EINVAL;
    close(fd);
    return good;
}

/* Content must be on the disk before the name in new/ is, or a crash could show a
 * reader half a message. File systems that log file and name together need the data
 * written out first, and then one sync for both. */
static bool sync_content(int fd, bool together)
{
#ifdef __linux__
    if (together)
        return sync_file_range(fd, 0, 0,
                               SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                   SYNC_FILE_RANGE_WAIT_AFTER) == 0 ||
               errno == ENOSYS || errno == EINVAL;
#endif
    (void)together;
    return fsync(fd) == 0;
}

static bool sync_name(const struct maildir *dir, int fd, bool together)
{
    struct strbuf path = STRBUF_INIT;
    bool good;

    if (together)
        return fsync(fd) == 0;
    strbuf_addf(&path, "%s/new", dir->path);
    good = sync_dir(path.ptr);
    strbuf_free(&path);
    return good;
}

static enum mailbox_result publish(const struct maildir *dir, int fd, const char *tmp,
                                   const char *path, struct strbuf *why)
{
    bool together = !file_needs_dir_sync(fd);
    int error;

    if (!sync_content(fd, together))
        return fail(verdict(errno), why, "error writing message", errno);
    if (rename(tmp, path) < 0 &&
        (errno != ENOENT || !make_maildir(dir) || rename(tmp, path) < 0)) {
        strbuf_addf(why, "create maildir file %s: %s", path, strerror(errno));
        return verdict(errno);
    }
    if (sync_name(dir, fd, together))
        return MAILBOX_DELIVERED;
    error = errno;
    unlink(path);
    return fail(MAILBOX_RETRY, why, "error writing message", error);
}

static enum mailbox_result fill_and_publish(const struct maildir *dir, int fd,
                                            const char *tmp,
                                            const struct mailbox_message *message,
                                            struct strbuf *why)
{
    struct output out = {.fd = fd, .limit = dir->size_limit};
    enum mailbox_result result = write_message(&out, message, 0, false, why);
    struct strbuf path = STRBUF_INIT;
    struct timespec now;

    if (result == MAILBOX_DELIVERED) {
        clock_gettime(CLOCK_REALTIME, &now);
        final_path(dir, &now, fd, &path);
        result = publish(dir, fd, tmp, path.ptr, why);
        strbuf_free(&path);
    }
    if (result != MAILBOX_DELIVERED)
        unlink(tmp);
    return result;
}

enum mailbox_result maildir_deliver(const struct maildir *dir,
                                    const struct mailbox_message *message,
                                    struct strbuf *why)
{
    struct strbuf tmp = STRBUF_INIT;
    enum mailbox_result result;
    struct timespec now;
    int fd;

    clock_gettime(CLOCK_REALTIME, &now);
    strbuf_addf(&tmp, "%s/tmp/%lld.P%ldM%ldF%d.%s", dir->path, (long long)now.tv_sec,
                (long)getpid(), now.tv_nsec, message->fd, dir->hostname);
    fd = create_tmp(dir, tmp.ptr);
    if (fd < 0) {
        strbuf_addf(why, "create maildir file %s: %s", tmp.ptr, strerror(errno));
        result = verdict(errno);
    } else {
        result = fill_and_publish(dir, fd, tmp.ptr, message, why);
        close(fd);
    }
    strbuf_free(&tmp);
    return result;
}
