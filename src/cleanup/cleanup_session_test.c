#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "cleanup/cleanup.h"
#include "util/file.h"
#include "util/ipc.h"

/* A client and a cleanup session on a socket pair, in a scratch queue directory. */
static struct {
    struct config *cfg;
    struct cleanup_service cs;
    struct arena *arena;
    struct stream *client;
    struct strbuf text; /* dump of the queue file */
    char id[QUEUE_ID_MAX];
    char reason[200];
    const char *const *queues;
} t;

static void server(void *arg)
{
    cleanup_session(&t.cs, arg);
}

static void connect_session(void)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    t.client = stream_new(fds[0]);
    fiber_spawn("session", server, stream_new(fds[1]));
    assert_int_equal(stream_write(t.client, FRAME_PREAMBLE, FRAME_PREAMBLE_LEN),
                     STREAM_OK);
}

static void send_attr(const char *name, struct span value, int flags)
{
    struct strbuf sb = STRBUF_INIT;
    size_t mark = frame_begin(&sb, 1);

    frame_span(&sb, name, value);
    if (flags >= 0)
        frame_num(&sb, "flags", flags);
    frame_end(&sb, mark);
    assert_int_equal(ipc_write_frames(t.client, &sb), STREAM_OK);
    strbuf_free(&sb);
}

static int read_status(void)
{
    struct frame frame;
    struct frame_reader r;
    int64_t status;
    struct span text;

    assert_int_equal(stream_flush(t.client), STREAM_OK);
    assert_int_equal(ipc_read_frame(t.client, &frame), STREAM_OK);
    r = frame_reader(frame.body);
    status = frame_want_num(&r, "status");
    assert_null(r.missing);
    text = frame_opt_span(&r, "queue_id");
    if (text.len)
        snprintf(t.id, sizeof t.id, "%.*s", SPAN_ARG(text));
    text = frame_opt_span(&r, "reason");
    snprintf(t.reason, sizeof t.reason, "%.*s", SPAN_ARG(text));
    return (int)status;
}

/* "S=a@b|R=c@d|M|N=Subject: x|X|E" -> records. */
static void build(struct strbuf *sb, const char *script)
{
    struct span rest = span_str(script);

    while (rest.len) {
        struct span item = span_cut(&rest, '|');
        rec_add(sb, item.ptr[0], span_skip(item, 2));
    }
}

static void open_message(int flags)
{
    send_attr("request", SPAN_LIT("open"), flags);
    assert_int_equal(read_status(), 0);
}

static void send_script(const char *script)
{
    struct strbuf sb = STRBUF_INIT;

    build(&sb, script);
    send_attr("records", strbuf_span(&sb), -1);
    strbuf_free(&sb);
}

static int commit(void)
{
    send_attr("request", SPAN_LIT("commit"), -1);
    return read_status();
}

/* The file as a script; what differs from run to run is replaced. */
static const char *dump(const char *queue)
{
    struct rec_reader reader;
    struct span data;
    int type, fd;

    fd = queue_open(&t.cs.queue, queue, t.id, O_RDONLY);
    assert_true(fd >= 0);
    rec_reader_init(&reader, fd);
    strbuf_reset(&t.text);
    while ((type = rec_read(&reader, &data)) > 0) {
        char letter[2] = {(char)type, '\0'};

        strbuf_add_str(&t.text, t.text.len ? "|" : "");
        strbuf_add_str(&t.text, letter);
        if (data.len)
            strbuf_addf(&t.text, "=%.*s", SPAN_ARG(data));
    }
    assert_int_equal(type, REC_EOF);
    rec_reader_free(&reader);
    close(fd);
    return t.text.ptr;
}

static void replace_id(const char *marker)
{
    char *at;

    while ((at = strstr(t.text.ptr, t.id)) != NULL) {
        size_t tail = strlen(at + strlen(t.id));
        size_t mlen = strlen(marker);

        assert_true(mlen <= strlen(t.id));
        memmove(at + mlen, at + strlen(t.id), tail + 1);
        memcpy(at, marker, mlen);
        t.text.len = (size_t)(at - t.text.ptr) + mlen + tail;
    }
}

static const char *content(const char *queue)
{
    const char *m;

    dump(queue);
    replace_id("QID");
    m = strstr(t.text.ptr, "|M|");
    assert_non_null(m);
    return m + 3;
}

static size_t count_files(void)
{
    static const char *const names[] = {QUEUE_INCOMING, QUEUE_HOLD};
    char command[64];
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        FILE *pipe;
        int c;

        snprintf(command, sizeof command, "ls %s", names[i]);
        pipe = popen(command, "r");
        while ((c = getc(pipe)) != EOF)
            count += c == '\n';
        pclose(pipe);
    }
    return count;
}

#define T_RECORD "T=1795415321 809476|"
#define REMOTE   T_RECORD "A=rewrite_context=remote|S=s@example.com|R=r@example.org|M|"
#define LOCAL    T_RECORD "A=rewrite_context=local|S=s@example.com|R=r@example.org|M|"

/* As the peer lays it out: see the documented record order. */
static void test_record_order(void)
{
    struct stat st;
    char path[QUEUE_PATH_MAX];

    t.cfg->delay_warning_time = 14400;
    open_message(CLEANUP_EXTERNAL);
    send_script(T_RECORD
                "A=log_ident=QID|A=rewrite_context=local|i=abc|<=2|S=s@example.com|"
                "A=encoding=8bit|A=client_name=localhost|n=6|"
                "o=rfc822;orig@example.org|R=r1@example.org|R=r2@example.org|M|"
                "N=Message-ID: <a@b>|N=Date: d|N=From: f@example.com|N=|N=body|X|E");
    assert_int_equal(commit(), 0);
    dump(QUEUE_INCOMING);
    replace_id("QID");
    char *create_time = strstr(t.text.ptr, "create_time=");
    assert_non_null(create_time);
    memset(create_time + 12, '#', 10);
    assert_string_equal(
        t.text.ptr,
        "C=             57             436               2              12             "
        " 57 "
        "              0"
        "|T=1795415321 809476|A=create_time=##########|A=log_ident=QID"
        "|A=rewrite_context=local|A=envelope_id=abc|A=ret_flags=2|S=s@example.com"
        "|A=encoding=8bit|A=client_name=localhost|W=     1795429721|A=notify_flags=6"
        "|A=dsn_orig_rcpt=rfc822;orig@example.org|O=r1@example.org|R=r1@example.org"
        "|A=dsn_orig_rcpt=rfc822;r2@example.org|O=r2@example.org|R=r2@example.org|M"
        "|N=Message-ID: <a@b>|N=Date: d|N=From: "
        "f@example.com|N|N=body|X|A=encoding=8bit|E");
    queue_path(&t.cs.queue, QUEUE_INCOMING, t.id, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, QUEUE_MODE_READY);
    t.cfg->delay_warning_time = 0;
}

/* What the file says and what qmgr is told must agree. */
static void test_envelope_reads_back(void)
{
    struct envelope env;
    const char *why = NULL;
    int fd;

    open_message(CLEANUP_EXTERNAL);
    send_script(T_RECORD "A=rewrite_context=remote|S=|A=sasl_username=u|L=smtp:x|"
                         "R=r1@example.org|M|N=a: b|X|R=r2@example.org|E");
    assert_int_equal(commit(), 0);
    fd = queue_open(&t.cs.queue, QUEUE_INCOMING, t.id, O_RDONLY);
    assert_int_equal(envelope_read(fd, 0, 0, t.arena, &env, &why), ENVELOPE_OK);
    assert_string_equal(env.sender, "");
    assert_string_equal(env.filter, "smtp:x");
    assert_string_equal(env.sasl_username, "u");
    assert_int_equal(env.rcpt_len, 2);
    assert_int_equal(env.rcpt_count, 2);
    assert_string_equal(env.rcpts[0].address, "r1@example.org");
    assert_string_equal(env.rcpts[1].address, "r2@example.org");
    assert_int_equal(env.qmgr_opts, 0);
    assert_int_equal(env.data_size, env.content_size);
    close(fd);
}

static void test_missing_headers(void)
{
    open_message(CLEANUP_EXTERNAL);
    send_script(T_RECORD "A=rewrite_context=local|F=J. \"D\" Doe|S=s@example.com|"
                         "R=r@example.org|M|N=Subject : x|N=body|X|E");
    assert_int_equal(commit(), 0);
    content(QUEUE_INCOMING);
    assert_non_null(strstr(t.text.ptr, "|N=Subject: x|N=Message-Id: <2"));
    assert_non_null(
        strstr(t.text.ptr, ".QID@mx.example>|N=Date: Mon, 23 Nov 2026 06:28:41 "));
    assert_non_null(strstr(
        t.text.ptr, "|N=From: \"J. \\\"D\\\" Doe\" <s@example.com>|N|N=body|X|E"));
    open_message(CLEANUP_EXTERNAL);
    send_script(REMOTE "N=Subject : x|N=body|X|E");
    assert_int_equal(commit(), 0);
    assert_string_equal(content(QUEUE_INCOMING), "N=Subject: x|N|N=body|X|E");
}

static void test_undisclosed_recipients(void)
{
    t.cfg->undisclosed_recipients_header = "To: undisclosed-recipients:;";
    t.cfg->always_add_missing_headers = true;
    open_message(CLEANUP_EXTERNAL);
    send_script(REMOTE "N=Bcc: a@example.org|N=From: x@example.org|N=Date: d|"
                       "N=Message-Id: <x>|N=|X|E");
    assert_int_equal(commit(), 0);
    assert_string_equal(content(QUEUE_INCOMING),
                        "N=From: x@example.org|N=Date: d|N=Message-Id: <x>|"
                        "N=To: undisclosed-recipients:;|N|X|E");
    t.cfg->undisclosed_recipients_header = "";
    t.cfg->always_add_missing_headers = false;
}

static void test_resent(void)
{
    open_message(CLEANUP_EXTERNAL);
    send_script(LOCAL "N=Resent-To: foo@example.com|N=Message-Id: <o@x>|N=|X|E");
    assert_int_equal(commit(), 0);
    content(QUEUE_INCOMING);
    assert_non_null(strstr(t.text.ptr, "|N=Message-Id: <o@x>|N=Resent-Message-Id: <"));
    assert_non_null(strstr(t.text.ptr, "|N=Resent-Date: "));
    assert_non_null(strstr(t.text.ptr, "|N=Resent-From: s@example.com|N|X|E"));
}

static void test_header_lines(void)
{
    open_message(CLEANUP_EXTERNAL);
    send_script(REMOTE
                "N=Bcc: a|N=\tb|N=Return-Path: <x>|N=X: a|N=\tfold|L=Y: part|N=two|"
                "N=Z:q|N=|N=a\rb|L=c\nd|N=|N=e|X|E");
    assert_int_equal(commit(), 0);
    assert_string_equal(content(QUEUE_INCOMING),
                        "N=X: a|N=\tfold|N=Y: parttwo|N=Z:q|N|N=a b|L=c d|N|N=e|X|E");
}

static void test_header_size_limit(void)
{
    t.cfg->header_size_limit = 20;
    open_message(CLEANUP_EXTERNAL);
    send_script(REMOTE "N=X: 67890|N=\t34567890|N= more|N=Y: z|N=|X|E");
    assert_int_equal(commit(), 0);
    assert_string_equal(content(QUEUE_INCOMING),
                        "N=X: 67890|N=\t34567890|N=Y: z|N|X|E");
    t.cfg->header_size_limit = 102400;
}

static void test_long_header_is_chunked(void)
{
    t.cfg->line_length_limit = 4;
    open_message(CLEANUP_EXTERNAL);
    send_script(REMOTE "N=X: 67890|N=|X|E");
    assert_int_equal(commit(), 0);
    assert_string_equal(content(QUEUE_INCOMING), "L=X: 6|N=7890|N|X|E");
    t.cfg->line_length_limit = 2048;
}

static void test_duplicates(void)
{
    open_message(CLEANUP_EXTERNAL);
    send_script(T_RECORD
                "A=rewrite_context=remote|S=s@example.com|R=a@example.org|"
                "R=A@Example.org|R=b@example.org|R=a@example.org|M|N=a: b|X|E");
    assert_int_equal(commit(), 0);
    dump(QUEUE_INCOMING);
    assert_non_null(strstr(t.text.ptr,
                           "|R=a@example.org|A=dsn_orig_rcpt=rfc822;b@example.org"
                           "|O=b@example.org|R=b@example.org|M|"));
}

/* Envelope and recipients only: S, O, R records and the flags in front of them. */
static const char *recipients(const char *queue)
{
    struct strbuf out = STRBUF_INIT;
    struct span rest = SPAN_EMPTY, item;

    dump(queue);
    rest = strbuf_span(&t.text);
    while (rest.ptr) {
        item = span_cut(&rest, '|');
        if (item.len > 1 &&
            (strchr("SOR", item.ptr[0]) || span_starts(item, SPAN_LIT("A=notify")) ||
             span_starts(item, SPAN_LIT("A=dsn"))))
            strbuf_addf(&out, "%s%.*s", out.len ? "|" : "", SPAN_ARG(item));
    }
    strbuf_free(&t.text);
    t.text = out;
    return t.text.ptr;
}

#define DSN(orig, rcpt) "|A=dsn_orig_rcpt=rfc822;" orig "|O=" orig "|R=" rcpt
#define BCC(rcpt)       "|A=notify_flags=1|O=" rcpt "|R=" rcpt

static void test_mapping(void)
{
    open_message(CLEANUP_EXTERNAL);
    send_script(T_RECORD
                "A=rewrite_context=local|S=s1@example.org|R=c1@example.org|"
                "R=ext+foo@example.org|R=v@example.org|R=self@example.org|"
                "R=lp1@example.org|R=a@h.example.com|M|"
                "N=From: a@h.example.com, Me <b+c@wild.example>|"
                "N=To: c1@example.org, aDMIN@h.example.com,|N=\ta@x.keep.example.com|"
                "N=Message-Id: <x>|N=Date: d|N=|X|E");
    assert_int_equal(commit(), 0);
    assert_string_equal(
        content(QUEUE_INCOMING),
        "N=From: a@example.com, Me <b+c@tame.example>|N=To: c3@example.org, "
        "aDMIN@h.example.com,|N=\ta@x.keep.example.com|N=Message-Id: <x>|N=Date: "
        "d|N|X|E");
    assert_string_equal(
        recipients(QUEUE_INCOMING),
        "S=c3@example.org" BCC("sb@example.org") DSN("c1@example.org", "c3@example.org")
            DSN("ext+foo@example.org", "nxt+foo@example.org") DSN(
                "v@example.org", "x@example.org") DSN("v@example.org", "y@example.org")
                DSN("v@example.org", "z@example.org") DSN("self@example.org",
                                                          "self@example.org")
                    DSN("self@example.org", "other@example.org") BCC("rb@example.org")
                        DSN("lp1@example.org", "lp1@example.org")
                            DSN("a@h.example.com", "a@h.example.com"));
    /* Without leave to map, nothing is. */
    open_message(0);
    send_script(T_RECORD "A=rewrite_context=local|S=s1@example.org|R=v@example.org|M|"
                         "N=From: a@h.example.com|N=|X|E");
    assert_int_equal(commit(), 0);
    assert_string_equal(recipients(QUEUE_INCOMING),
                        "S=s1@example.org" DSN("v@example.org", "v@example.org"));
}

static void test_always_bcc(void)
{
    t.cfg->always_bcc = "v2@example.org";
    open_message(CLEANUP_EXTERNAL);
    send_script(REMOTE "N=|X|E");
    assert_int_equal(commit(), 0);
    assert_string_equal(
        recipients(QUEUE_INCOMING),
        "S=s@example.com" DSN(
            "r@example.org",
            "r@example.org") "|A=notify_flags=1|O=v2@example.org|R=y@example.org"
                             "|A=notify_flags=1|O=v2@example.org|R=z@example.org");
    t.cfg->always_bcc = "";
}

static void test_hold_and_discard(void)
{
    size_t before = count_files();

    open_message(CLEANUP_EXTERNAL | CLEANUP_HOLD);
    send_script(REMOTE "N=a: b|N=|X|E");
    assert_int_equal(commit(), 0);
    assert_string_equal(content(QUEUE_HOLD), "N=a: b|N|X|E");
    assert_int_equal(count_files(), before + 1);
    open_message(CLEANUP_EXTERNAL | CLEANUP_DISCARD);
    send_script(REMOTE "N=a: b|N=|X|E");
    assert_int_equal(commit(), 0);
    assert_int_equal(count_files(), before + 1);
}

static void expect_status(const char *script, int status)
{
    size_t before = count_files();

    open_message(CLEANUP_EXTERNAL);
    send_script(script);
    assert_int_equal(commit(), status);
    assert_int_equal(count_files(), before);
}

static void test_refusals(void)
{
    t.cfg->hopcount_limit = 3;
    t.cfg->queue_file_attribute_count_limit = 3;
    expect_status(REMOTE "N=Received: 1|N=Received: 2|N=Received: 3|N=|X|E",
                  CLEANUP_STAT_HOPS);
    open_message(CLEANUP_EXTERNAL);
    send_script(REMOTE "N=Received: 1|N=Received: 2|N=Delivered-To: x|N=|X|E");
    assert_int_equal(commit(), 0);
    expect_status(T_RECORD "S=a@example.com|M|N=|X|E", CLEANUP_STAT_RCPT);
    expect_status(T_RECORD "S=|R=x1@example.org|M|N=|X|E", CLEANUP_STAT_DEFER);
    assert_string_equal(t.reason, "Alias expansion error");
    expect_status(REMOTE "N=|X", CLEANUP_STAT_BAD);
    expect_status(REMOTE "N=|X|E|E", CLEANUP_STAT_BAD);
    expect_status(REMOTE "N=|N=a|R=x@example.org|X|E", CLEANUP_STAT_BAD);
    expect_status(T_RECORD "R=a@example.com|M|N=|X|E", CLEANUP_STAT_BAD);
    expect_status(T_RECORD "S=|S=|R=a@example.com|M|N=|X|E", CLEANUP_STAT_BAD);
    expect_status("T=x|S=|R=a@example.com|M|N=|X|E", CLEANUP_STAT_BAD);
    expect_status(T_RECORD "S=|A=b|R=a@example.com|M|N=|X|E", CLEANUP_STAT_BAD);
    expect_status(T_RECORD "S=|A==b|R=a@example.com|M|N=|X|E", CLEANUP_STAT_BAD);
    expect_status(T_RECORD "S=|A=a=1|A=b=1|A=c=1|A=d=1|R=a@example.com|M|N=|X|E",
                  CLEANUP_STAT_BAD);
    t.cfg->queue_file_attribute_count_limit = 100;
    t.cfg->hopcount_limit = 50;
    t.cs.reject_chars['~'] = t.cs.filter_bytes = true;
    expect_status(REMOTE "N=|N=a~b|X|E", CLEANUP_STAT_CONTENT);
    assert_string_equal(t.reason, "disallowed character");
    t.cs.reject_chars['~'] = t.cs.filter_bytes = false;
}

static void test_size_limit(void)
{
    size_t before = count_files();

    t.cfg->message_size_limit = 2000;
    open_message(CLEANUP_EXTERNAL);
    send_script(REMOTE "N=a: b|N=");
    for (int i = 0; i < 100; i++)
        send_script("N=this line is 33 bytes with header");
    send_script("X|E");
    assert_int_equal(commit(), CLEANUP_STAT_SIZE);
    assert_int_equal(count_files(), before);
    t.cfg->message_size_limit = 0;
}

/* More than the buffer: the size record is filled in afterwards. */
static void test_large_message(void)
{
    char path[QUEUE_PATH_MAX];
    struct strbuf chunk = STRBUF_INIT;
    struct envelope env;
    const char *why;
    struct stat st;
    int fd;

    for (int i = 0; i < 1000; i++)
        rec_add_str(&chunk, REC_LINE, "0123456789012345678901234567890123456789");
    open_message(CLEANUP_EXTERNAL);
    send_script(REMOTE "N=a: b|N=");
    for (int i = 0; i < 50; i++)
        send_attr("records", strbuf_span(&chunk), -1);
    send_script("X|E");
    assert_int_equal(commit(), 0);
    queue_path(&t.cs.queue, QUEUE_INCOMING, t.id, path);
    assert_int_equal(stat(path, &st), 0);
    fd = open(path, O_RDONLY);
    assert_int_equal(envelope_read(fd, 0, 0, t.arena, &env, &why), ENVELOPE_OK);
    assert_int_equal(env.data_size, 50 * 42000 + 2 + 6);
    assert_int_equal(st.st_size, env.data_offset + env.data_size + 4);
    close(fd);
    strbuf_free(&chunk);
}

/* Disk trouble: the client is told, and nothing is left behind. */
static void test_write_failure(void)
{
    struct rlimit old, tight;
    size_t before = count_files();

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight = old;
    tight.rlim_cur = 200;
    signal(SIGXFSZ, SIG_IGN);
    open_message(CLEANUP_EXTERNAL);
    send_script(REMOTE "N=|N=the file is larger than the limit|X|E");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    int status = commit();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(status, CLEANUP_STAT_WRITE);
    assert_int_equal(count_files(), before);
}

static void test_create_failure(void)
{
    assert_int_equal(rename(QUEUE_INCOMING, "away"), 0);
    send_attr("request", SPAN_LIT("open"), 0);
    int status = read_status();
    assert_int_equal(rename("away", QUEUE_INCOMING), 0);
    assert_int_equal(status, CLEANUP_STAT_WRITE);
}

/* qmgr hears of a message that is complete on disk, with all it needs. */
static void test_notification(void)
{
    struct envelope env;
    const char *missing;
    struct stream *qmgr;
    struct frame frame;
    struct span value;
    struct err err;
    char path[QUEUE_PATH_MAX];
    struct stat st;
    struct evfd ev;
    int listener;

    assert_int_equal(mkdir("public", 0700), 0);
    listener = net_listen_unix("public/qmgr", 0600, SOCK_STREAM, &err);
    assert_true(listener >= 0);
    open_message(CLEANUP_EXTERNAL);
    send_script(T_RECORD "A=rewrite_context=remote|A=sasl_username=u|S=s@example.com|"
                         "R=v2@example.org|M|N=Message-Id: <m@x>|N=|N=b|X|E");
    assert_int_equal(commit(), 0);
    evfd_init(&ev, listener);
    assert_int_equal(fiber_wait_readable(&ev, loop_deadline(5000)), WAIT_READY);
    evfd_forget(&ev);
    qmgr = stream_new(accept(listener, NULL, NULL));
    close(listener);
    assert_int_equal(ipc_read_preamble(qmgr), STREAM_OK);
    assert_int_equal(ipc_read_frame(qmgr, &frame), STREAM_OK);
    assert_int_equal(frame.id, 0);
    assert_true(frame_get(frame.body, "request", &value) && span_eq_str(value, "new"));
    assert_true(frame_get(frame.body, "queue_name", &value) &&
                span_eq_str(value, QUEUE_INCOMING));
    assert_true(frame_get(frame.body, "queue_id", &value) && span_eq_str(value, t.id));
    assert_true(envelope_from_frame(frame.body, t.arena, &env, &missing));
    assert_string_equal(env.sender, "s@example.com");
    assert_string_equal(env.sasl_username, "u");
    assert_string_equal(env.message_id, "<m@x>");
    assert_int_equal(env.rcpt_len, 2);
    assert_string_equal(env.rcpts[1].address, "z@example.org");
    assert_string_equal(env.rcpts[1].orig, "v2@example.org");
    queue_path(&t.cs.queue, QUEUE_INCOMING, t.id, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, QUEUE_MODE_READY);
    assert_true(env.rcpts[1].offset > env.rcpts[0].offset &&
                env.rcpts[1].offset < env.data_offset);
    stream_free(qmgr);
}

static void test_abort_removes_file(void)
{
    size_t before = count_files();

    open_message(CLEANUP_EXTERNAL);
    assert_int_equal(count_files(), before + 1);
    send_script(REMOTE "N=a: b");
    send_attr("request", SPAN_LIT("abort"), -1);
    open_message(CLEANUP_EXTERNAL);
    assert_int_equal(count_files(), before + 1);
    stream_free(t.client); /* closing is an abort as well */
    for (int i = 0; i < 100 && count_files() > before; i++)
        fiber_sleep(1);
    assert_int_equal(count_files(), before);
    connect_session();
}

static int run_all(void *arg)
{
    (void)arg;
    connect_session();
    test_record_order();
    test_envelope_reads_back();
    test_missing_headers();
    test_undisclosed_recipients();
    test_resent();
    test_header_lines();
    test_header_size_limit();
    test_long_header_is_chunked();
    test_duplicates();
    test_mapping();
    test_always_bcc();
    test_hold_and_discard();
    test_refusals();
    test_size_limit();
    test_large_message();
    test_write_failure();
    test_create_failure();
    test_notification();
    test_abort_removes_file();
    stream_free(t.client);
    fiber_sleep(5);
    return 0;
}

static void test_session(void **state)
{
    (void)state;
    assert_int_equal(fiber_main(run_all, NULL), 0);
}

static const char main_cf[] =
    "myhostname = mx.example\n"
    "mydestination = mx.example\n"
    "inet_interfaces = 127.0.0.1\n"
    "inet_protocols = ipv4\n"
    "hopcount_limit = 50\n"
    "delay_warning_time = 0\n"
    "message_size_limit = 0\n"
    "recipient_delimiter = +\n"
    "canonical_maps = inline:{ c1@example.org=c2@example.org, "
    "c2@example.org=c3@example.org,\n"
    "  lp1@example.org=lp2@example.org, lp2@example.org=lp1@example.org }\n"
    "sender_canonical_maps = inline:{ s1@example.org=c1@example.org, "
    "@wild.example=@tame.example }\n"
    "recipient_canonical_maps = inline:{ ext@example.org=nxt@example.org }\n"
    "masquerade_domains = !keep.example.com example.com\n"
    "masquerade_exceptions = Admin\n"
    "virtual_alias_maps = inline:{ { v@example.org = x@example.org, v2@example.org, "
    "x@example.org }\n"
    "  { v2@example.org = y@example.org, z@example.org }\n"
    "  { self@example.org = self@example.org, other@example.org }\n"
    "  { x1@example.org = x2@example.org } { x2@example.org = x1@example.org } }\n"
    "sender_bcc_maps = inline:{ c3@example.org=sb@example.org }\n"
    "recipient_bcc_maps = inline:{ self@example.org=rb@example.org }\n";

static struct config *load_config(const char *dir)
{
    struct config_source source = {.dir = dir, .program = "cleanup"};
    struct config *cfg;
    struct err err;
    FILE *file = fopen("main.cf", "w");

    assert_non_null(file);
    fputs(main_cf, file);
    fclose(file);
    cfg = config_load(&source, &err);
    if (!cfg)
        fail_msg("%s", err.text);
    return cfg;
}

static int setup(void **state)
{
    static char dir[] = "/tmp/cleanup_test.XXXXXX";

    (void)state;
    if (!mkdtemp(dir) || chdir(dir) < 0 || mkdir(QUEUE_INCOMING, 0700) < 0 ||
        mkdir(QUEUE_HOLD, 0700) < 0)
        return -1;
    t.cfg = load_config(dir);
    t.arena = arena_new();
    strbuf_init(&t.text);
    cleanup_service_init(&t.cs, t.cfg, t.arena);
    return 0;
}

static int teardown(void **state)
{
    char command[64], cwd[40];

    (void)state;
    if (!getcwd(cwd, sizeof cwd))
        return -1;
    snprintf(command, sizeof command, "rm -rf %s", cwd);
    cleanup_service_free(&t.cs);
    strbuf_free(&t.text);
    arena_free(t.arena);
    config_free(t.cfg);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_session)};

    return cmocka_run_group_tests(tests, setup, teardown);
}
