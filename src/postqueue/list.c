#include "postqueue/postqueue.h"

#include <stdio.h>
#include <time.h>

#include "global/addr.h"
#include "util/escape.h"

#define REASON_RIGHT 78

/* Long queue ids need wider columns. */
struct widths {
    int id, size, date, rcpt_indent;
};

static struct widths widths(const struct config *cfg)
{
    return cfg->enable_long_queue_ids ? (struct widths){17, 8, 19, 47}
                                      : (struct widths){11, 7, 20, 41};
}

static void put_header(const struct list_output *out)
{
    struct widths w = widths(out->cfg);

    if (w.id == 11)
        puts("-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------");
    else
        printf("%-*s %*s %-*s %s\n", w.id, "----Queue ID-----", w.size, "--Size--",
               w.date, "---Arrival Time----", "--Sender/Recipient------");
}

/* As in a header, and safe for a terminal; the null address has a name. */
static void add_address(struct strbuf *sb, const char *address)
{
    struct strbuf quoted = STRBUF_INIT;

    addr_quote(&quoted, span_str(*address ? address : "MAILER-DAEMON"));
    escape_printable(sb, strbuf_span(&quoted), '?', true);
    strbuf_free(&quoted);
}

static void put_address(const char *address)
{
    struct strbuf sb = STRBUF_INIT;

    add_address(&sb, address);
    puts(sb.ptr);
    strbuf_free(&sb);
}

static void put_reason(const char *reason)
{
    struct strbuf clean = STRBUF_INIT;
    int indent;

    escape_printable(&clean, span_str(reason), '?', true);
    indent = REASON_RIGHT - (int)clean.len - 2;
    printf("%*s(%s)\n", indent > 0 ? indent : 0, "", clean.ptr);
    strbuf_free(&clean);
}

static const char *status_mark(const struct queue_list_entry *entry)
{
    if (strcmp(entry->queue_name, QUEUE_ACTIVE) == 0)
        return "*";
    if (strcmp(entry->queue_name, QUEUE_HOLD) == 0)
        return "!";
    return "";
}

static void put_entry_line(const struct list_output *out,
                           const struct queue_list_entry *entry)
{
    struct widths w = widths(out->cfg);
    char id[QUEUE_ID_MAX + 4], date[32];
    time_t when = (time_t)entry->time;
    struct tm tm;

    snprintf(id, sizeof id, "%s%s%s", entry->queue_id, status_mark(entry),
             entry->forced_expire ? "#" : "");
    strftime(date, sizeof date, "%a %b %d %H:%M:%S", localtime_r(&when, &tm));
    printf("%-*s %*lld %-*s ", w.id, id, w.size, (long long)entry->size, w.date, date);
    put_address(entry->sender);
}

/* Recipients with the same reason stand below it. */
static void put_text(struct list_output *out, const struct queue_list_entry *entry)
{
    const char *last = "";

    if (out->requests == 0)
        put_header(out);
    else
        putchar('\n');
    put_entry_line(out, entry);
    for (size_t i = 0; i < entry->rcpt_len; i++) {
        const struct queue_list_rcpt *rcpt = &entry->rcpts[i];

        if (strcmp(rcpt->reason, last) != 0)
            put_reason(*rcpt->reason ? rcpt->reason : "reason unavailable");
        last = rcpt->reason;
        printf("%*s", widths(out->cfg).rcpt_indent, "");
        put_address(rcpt->address);
    }
}

static void json_member(struct strbuf *sb, const char *name, const char *value)
{
    strbuf_addf(sb, "\"%s\": ", name);
    json_string(sb, span_str(value));
}

static void json_address(struct strbuf *sb, const char *name, const char *address)
{
    struct strbuf text = STRBUF_INIT;

    add_address(&text, address);
    json_member(sb, name, text.ptr);
    strbuf_free(&text);
}

static void json_recipient(struct strbuf *sb, const struct queue_list_rcpt *rcpt)
{
    strbuf_add_char(sb, '{');
    json_address(sb, "address", rcpt->address);
    if (*rcpt->orig && strcmp(rcpt->orig, rcpt->address) != 0) {
        strbuf_add_str(sb, ", ");
        json_address(sb, "orig_address", rcpt->orig);
    }
    if (*rcpt->reason) {
        strbuf_add_str(sb, ", ");
        json_member(sb,
                    strcmp(rcpt->log_class, "bounce") == 0 ? "bounce_reason"
                                                           : "delay_reason",
                    rcpt->reason);
    }
    strbuf_add_char(sb, '}');
}

static void put_json(const struct queue_list_entry *entry)
{
    struct strbuf sb = STRBUF_INIT;

    strbuf_add_char(&sb, '{');
    json_member(&sb, "queue_name", entry->queue_name);
    strbuf_add_str(&sb, ", ");
    json_member(&sb, "queue_id", entry->queue_id);
    strbuf_addf(&sb,
                ", \"arrival_time\": %lld, \"message_size\": %lld, "
                "\"forced_expire\": %s, ",
                (long long)entry->time, (long long)entry->size,
                entry->forced_expire ? "true" : "false");
    json_address(&sb, "sender", entry->sender);
    strbuf_add_str(&sb, ", \"recipients\": [");
    for (size_t i = 0; i < entry->rcpt_len; i++) {
        if (i > 0)
            strbuf_add_str(&sb, ", ");
        json_recipient(&sb, &entry->rcpts[i]);
    }
    strbuf_add_str(&sb, "]}");
    puts(sb.ptr);
    strbuf_free(&sb);
}

bool list_print(void *arg, const struct queue_list_entry *entry)
{
    struct list_output *out = arg;

    if (out->json)
        put_json(entry);
    else
        put_text(out, entry);
    out->requests++;
    out->bytes += entry->size;
    return !ferror(stdout);
}

void list_end(const struct list_output *out)
{
    if (out->json)
        return;
    if (out->requests == 0)
        puts("Mail queue is empty");
    else
        printf("\n-- %lld Kbytes in %lld Request%s.\n", (long long)(out->bytes / 1024),
               (long long)out->requests, out->requests == 1 ? "" : "s");
}
