#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>
#include <cmocka.h>

#include "global/mailbox.h"
#include "util/file.h"

static char dir[] = "/tmp/mailbox_test.XXXXXX";

/* A queue file with these lines as content; complete: it has an end. */
static int queue_file(const char *const *lines, bool complete)
{
    struct strbuf sb = STRBUF_INIT;
    char path[128];
    int fd;

    snprintf(path, sizeof path, "%s/queue", dir);
    for (; *lines; lines++)
        rec_add_str(&sb, REC_LINE, *lines);
    if (complete)
        rec_add_str(&sb, REC_EXTRACTED, "");
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && file_write_full(fd, sb.ptr, sb.len));
    strbuf_free(&sb);
    return fd;
}

static const char *const content[] = {"Subject: x", "",  "From me", ">From you",
                                      "Fromage",    ".", NULL};

static struct mailbox_message message_of(int fd)
{
    return (struct mailbox_message){.fd = fd,
                                    .sender = "odd name@a.b",
                                    .original_to = "list@a.b",
                                    .delivered_to = "evil\nX: y@a.b",
                                    .when = 1795420332};
}

static const char *in_dir(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static struct strbuf read_all(const char *path)
{
    struct strbuf sb = STRBUF_INIT;
    struct err err;

    assert_true(file_read_all(path, 1 << 20, &sb, &err));
    return sb;
}

static void test_append(void **state)
{
    struct mailbox_file file = {.path = in_dir("box"),
                                .owner = geteuid(),
                                .strict = true,
                                .locks = LOCK_FCNTL | LOCK_FLOCK,
                                .lock_tries = 1};
    int fd = queue_file(content, true);
    struct mailbox_message message = message_of(fd);
    struct strbuf why = STRBUF_INIT, box;

    (void)state;
    setenv("TZ", "UTC", 1);
    assert_int_equal(mailbox_append(&file, &message, &why), MAILBOX_DELIVERED);
    message.sender = "";
    message.original_to = message.delivered_to = NULL;
    assert_int_equal(mailbox_append(&file, &message, &why), MAILBOX_DELIVERED);
    box = read_all(file.path);
    assert_string_equal(box.ptr, "From \"odd name\"@a.b  Mon Nov 23 07:52:12 2026\n"
                                 "Return-Path: <\"odd name\"@a.b>\n"
                                 "X-Original-To: list@a.b\n"
                                 "Delivered-To: \"evil\\ X: y\"@a.b\n"
                                 "Subject: x\n\n>From me\n>From you\nFromage\n.\n\n"
                                 "From MAILER-DAEMON  Mon Nov 23 07:52:12 2026\n"
                                 "Return-Path: <>\n"
                                 "Subject: x\n\n>From me\n>From you\nFromage\n.\n\n");
    strbuf_free(&box);
    strbuf_free(&why);
    close(fd);
    unlink(file.path);
}

static void test_failure_leaves_the_mailbox_as_it_was(void **state)
{
    struct mailbox_file file = {
        .path = in_dir("box"), .owner = geteuid(), .lock_tries = 1, .size_limit = 300};
    int fd = queue_file(content, true);
    struct mailbox_message message = message_of(fd);
    struct strbuf why = STRBUF_INIT;
    struct stat first, second;

    (void)state;
    assert_int_equal(mailbox_append(&file, &message, &why), MAILBOX_DELIVERED);
    assert_int_equal(stat(file.path, &first), 0);
    assert_int_equal(mailbox_append(&file, &message, &why), MAILBOX_FULL);
    assert_string_equal(why.ptr, "error writing message: File too large");
    assert_string_equal(mailbox_dsn_status(MAILBOX_FULL), "5.2.2");
    close(fd);
    fd = queue_file(content, false);
    file.size_limit = 0;
    message = message_of(fd);
    strbuf_reset(&why);
    assert_int_equal(mailbox_append(&file, &message, &why), MAILBOX_RETRY);
    assert_string_equal(why.ptr, "error reading queue file");
    assert_int_equal(stat(file.path, &second), 0);
    assert_int_equal(first.st_size, second.st_size);
    strbuf_free(&why);
    close(fd);
    unlink(file.path);
}

static void expect_refusal(struct mailbox_file *file, enum mailbox_result result,
                           const char *reason)
{
    int fd = queue_file(content, true);
    struct mailbox_message message = message_of(fd);
    struct strbuf why = STRBUF_INIT;

    assert_int_equal(mailbox_append(file, &message, &why), result);
    assert_non_null(strstr(why.ptr, reason));
    strbuf_free(&why);
    close(fd);
}

static void test_what_is_no_mailbox(void **state)
{
    struct mailbox_file file = {
        .path = in_dir("box"), .owner = geteuid() + 1, .lock_tries = 1};
    char other[256];

    (void)state;
    snprintf(other, sizeof other, "%s/other", dir);
    close(open(other, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(link(other, file.path), 0);
    expect_refusal(&file, MAILBOX_REFUSED, "file has 2 hard links");
    unlink(other);
    file.strict = true;
    expect_refusal(&file, MAILBOX_BUSY, "is not owned by recipient");
    unlink(file.path);
    assert_int_equal(mkdir(file.path, 0700), 0);
    expect_refusal(&file, MAILBOX_REFUSED, "Is a directory");
    rmdir(file.path);
    assert_int_equal(mkfifo(file.path, 0600), 0);
    expect_refusal(&file, MAILBOX_REFUSED, "cannot open file");
    unlink(file.path);
}

static void test_locked(void **state)
{
    struct mailbox_file file = {.path = in_dir("box"),
                                .owner = geteuid(),
                                .locks = LOCK_FLOCK,
                                .lock_tries = 1};
    int fd = open(file.path, O_RDWR | O_CREAT, 0600);
    struct stat st;

    (void)state;
    assert_int_equal(flock(fd, LOCK_EX), 0);
    expect_refusal(&file, MAILBOX_BUSY, "unable to lock for exclusive access");
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 0);
    close(fd);
    unlink(file.path);
}

static size_t count_files(const char *path, char name_out[256])
{
    DIR *d = opendir(path);
    struct dirent *e;
    size_t count = 0;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        count++;
        snprintf(name_out, 256, "%.255s", e->d_name);
    }
    closedir(d);
    return count;
}

static void test_maildir(void **state)
{
    struct maildir box = {
        .path = in_dir("a"), .hostname = "mx.test", .size_limit = 400};
    int fd = queue_file(content, true);
    struct mailbox_message message = message_of(fd);
    struct strbuf why = STRBUF_INIT, text;
    char name[256], path[600], command[300];

    (void)state;
    snprintf(path, sizeof path, "%s/a/b/Maildir", dir);
    box.path = path;
    for (size_t i = 1; i <= 3; i++) {
        assert_int_equal(maildir_deliver(&box, &message, &why), MAILBOX_DELIVERED);
        snprintf(command, sizeof command, "%s/a/b/Maildir/new", dir);
        assert_int_equal(count_files(command, name), i);
    }
    snprintf(path, sizeof path, "%s/a/b/Maildir/new/%s", dir, name);
    assert_non_null(strstr(name, ".mx.test"));
    text = read_all(path);
    assert_memory_equal(text.ptr, "Return-Path: <\"odd name\"@a.b>\n", 30);
    assert_non_null(strstr(text.ptr, "\n\nFrom me\n>From you\n"));
    strbuf_free(&text);
    box.size_limit = 20;
    snprintf(path, sizeof path, "%s/a/b/Maildir", dir);
    assert_int_equal(maildir_deliver(&box, &message, &why), MAILBOX_FULL);
    assert_int_equal(count_files(command, name), 3);
    snprintf(path, sizeof path, "%s/a/b/Maildir/tmp", dir);
    assert_int_equal(count_files(path, name), 0);
    strbuf_free(&why);
    close(fd);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_failure_leaves_the_mailbox_as_it_was),
        cmocka_unit_test(test_what_is_no_mailbox),
        cmocka_unit_test(test_locked),
        cmocka_unit_test(test_maildir),
    };

    if (!mkdtemp(dir))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
