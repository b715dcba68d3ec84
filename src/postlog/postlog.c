/* Log text from scripts as the mail system logs its own. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/config.h"
#include "master/service_log.h"
#include "util/msg.h"
#include "util/strbuf.h"

#define USAGE "usage: postlog [-iv] [-c config_dir] [-p priority] [-t tag] [text...]"

static const struct priority_row {
    const char *name;
    enum msg_level level;
} priorities[] = {
    {"info", MSG_INFO},   {"warn", MSG_WARN},   {"warning", MSG_WARN},
    {"error", MSG_ERROR}, {"fatal", MSG_FATAL}, {"panic", MSG_PANIC},
};

static enum msg_level parse_priority(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(priorities); i++) {
        if (span_ieq_str(span_str(name), priorities[i].name))
            return priorities[i].level;
    }
    msg_fatal("unknown priority \"%s\": use info, warn, error, fatal or panic", name);
}

static void log_arguments(enum msg_level level, char **words)
{
    struct strbuf text = STRBUF_INIT;

    for (; *words; words++) {
        if (text.len > 0)
            strbuf_add_char(&text, ' ');
        strbuf_add_str(&text, *words);
    }
    msg_line(level, strbuf_span(&text));
    strbuf_free(&text);
}

static void log_input(enum msg_level level)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    while ((len = getline(&line, &cap, stdin)) >= 0) {
        if (len > 0 && line[len - 1] == '\n')
            len--;
        msg_line(level, span_of(line, (size_t)len));
    }
    free(line);
}

int main(int argc, char **argv)
{
    enum msg_level level = MSG_INFO;
    const char *tag = NULL;
    struct config_source source = {.program = "postlog"};
    struct config *cfg;
    struct err err;
    int option;

    msg_init("postlog");
    signal(SIGPIPE, SIG_IGN);
    while ((option = getopt(argc, argv, "+c:ip:t:v")) != -1) {
        switch (option) {
        case 'c':
            source.dir = optarg;
            break;
        case 'i':
            break;
        case 'p':
            level = parse_priority(optarg);
            break;
        case 't':
            tag = optarg;
            break;
        case 'v':
            msg_verbose++;
            break;
        default:
            msg_fatal(USAGE);
        }
    }
    cfg = config_load(&source, &err);
    if (!cfg)
        msg_fatal("%s", err.text);
    service_log_open_command(cfg, "postlog");
    if (!tag)
        tag = getenv("MAIL_LOGTAG");
    if (tag)
        msg_init(tag);
    msg_also_stderr(isatty(STDERR_FILENO));
    if (optind < argc)
        log_arguments(level, argv + optind);
    else
        log_input(level);
    msg_flush();
    config_free(cfg);
    return 0;
}
