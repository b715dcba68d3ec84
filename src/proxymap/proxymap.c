#include "proxymap/proxymap.h"

#include "global/mail_table.h"
#include "master/service.h"
#include "table/proxy.h"
#include "util/escape.h"
#include "util/msg.h"

#define NAME_LOG_MAX 500

struct program {
    bool write;
    struct approved approved;
    struct open_tables tables;
    struct cursors cursors;
};

struct request {
    struct program *prog;
    struct span kind, table, key, value;
    unsigned asked;
    int64_t cursor;
};

static void pre_jail(struct service *svc)
{
    struct program *prog = arena_alloc(svc->arena, sizeof(*prog));
    const struct config *cfg = svc->cfg;
    const struct table_env *env = mail_table_env(cfg);

    prog->write = strcmp(svc->name, cfg->proxywrite_service_name) == 0;
    enum table_mode mode = prog->write ? TABLE_WRITE : TABLE_READ;
    approved_init(&prog->approved,
                  prog->write ? cfg->proxy_write_maps : cfg->proxy_read_maps);
    open_tables_init(&prog->tables, env, mode);
    cursors_init(&prog->cursors, env, mode);
    svc->data = prog;
}

static void refuse(const struct program *prog, struct span name, struct strbuf *reply)
{
    struct strbuf text = STRBUF_INIT;

    escape_printable(&text, span_first(name, NAME_LOG_MAX), '?', true);
    msg_warn("request for unapproved table: \"%s\"", text.ptr);
    msg_warn("to approve this table for %s access, list proxy:%s in main.cf:%s",
             prog->write ? "read-write" : "read-only", text.ptr,
             prog->write ? "proxy_write_maps" : "proxy_read_maps");
    strbuf_free(&text);
    frame_num(reply, "status", PROXY_REFUSED);
}

static void add_status(struct strbuf *reply, enum table_status status,
                       const struct table *table, const struct err *err)
{
    frame_num(reply, "status", status);
    if (table)
        frame_num(reply, "flags", table_flags(table) & (TABLE_FIXED | TABLE_PATTERN));
    if (status != TABLE_RETRY && status != TABLE_BROKEN)
        return;
    frame_str(reply, "text", err->text);
    if (err->text[0])
        msg_warn("%s", err->text);
}

static void serve_sequence(const struct request *req, struct strbuf *reply)
{
    struct err err = {{0}};

    add_status(reply,
               cursors_next(&req->prog->cursors, req->table, req->asked, req->cursor,
                            reply, &err),
               NULL, &err);
}

static void serve_table(const struct request *req, struct strbuf *reply)
{
    struct program *prog = req->prog;
    struct open_table *open = open_tables_get(&prog->tables, req->table, req->asked);
    struct table *table = open_table(open);
    struct arena *arena = arena_new();
    struct err err = {{0}};
    enum table_status status;
    const char *found = NULL;

    if (span_eq_str(req->kind, "update"))
        status = table_update(table, req->key, req->value, &err);
    else if (span_eq_str(req->kind, "delete"))
        status = table_delete(table, req->key, &err);
    else
        status = table_lookup(table, req->key, arena, &found, &err);
    add_status(reply, status, table, &err);
    if (found)
        frame_str(reply, "value", found);
    arena_free(arena);
    open_tables_put(open);
}

static bool is_known(struct span kind)
{
    static const char *const kinds[] = {"lookup", "update", "delete", "sequence"};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (span_eq_str(kind, kinds[i]))
            return true;
    return false;
}

static void request(struct service *svc, struct span body, struct strbuf *reply)
{
    struct frame_reader r = frame_reader(body);
    struct request req = {.prog = svc->data,
                          .kind = frame_want_span(&r, "request"),
                          .table = frame_want_span(&r, "table"),
                          .key = frame_opt_span(&r, "key"),
                          .value = frame_opt_span(&r, "value"),
                          .asked = (unsigned)frame_opt_num(&r, "asked", 0),
                          .cursor = frame_opt_num(&r, "cursor", 0)};

    req.asked &= TABLE_ASKED & ~(unsigned)TABLE_BASE64;
    if (r.missing || !is_known(req.kind)) {
        msg_warn("malformed request: %s", r.missing ? r.missing : "unknown operation");
        return;
    }
    if (!approved_has(&req.prog->approved, req.table))
        refuse(req.prog, req.table, reply);
    else if (span_eq_str(req.kind, "sequence"))
        serve_sequence(&req, reply);
    else
        serve_table(&req, reply);
}

static void on_exit_close(struct service *svc)
{
    struct program *prog = svc->data;

    cursors_free(&prog->cursors);
    open_tables_free(&prog->tables);
    approved_free(&prog->approved);
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = {
        .program = "proxymap",
        .pre_jail = pre_jail,
        .request = request,
        .on_exit = on_exit_close,
    };

    return service_main(argc, argv, &ops);
}
