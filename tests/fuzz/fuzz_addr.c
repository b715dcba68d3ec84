/* Paths, quoting and address headers: no crash, and the promises of addr.h. */
#include "global/addr.h"
#include "util/base.h"

static const char *keep(void *arg, struct span internal)
{
    struct strbuf *sb = arg;

    addr_is_wellformed(internal);
    strbuf_reset(sb);
    addr_quote(sb, internal);
    return NULL;
}

static void check_header(struct span text, struct arena *arena)
{
    struct strbuf out = STRBUF_INIT, scratch = STRBUF_INIT;

    addr_header_rewrite(text, arena, keep, &scratch, &out);
    /* Only source routes may go, and they hold a ':'. */
    if (!span_eq(strbuf_span(&out), text) && span_chr(text, ':') < 0)
        panic("unchanged header was not copied byte by byte");
    strbuf_free(&out);
    strbuf_free(&scratch);
}

static void check_path(struct span text, bool strict, struct arena *arena)
{
    struct span address, rest;
    struct strbuf quoted = STRBUF_INIT, back = STRBUF_INIT;

    if (addr_parse_path(text, strict, arena, &address, &rest) == ADDR_PATH_OK &&
        addr_is_wellformed(address)) {
        addr_quote(&quoted, address);
        addr_unquote(&back, strbuf_span(&quoted));
        if (!span_eq(strbuf_span(&back), address))
            panic("quoting and unquoting changed an address");
    }
    strbuf_free(&quoted);
    strbuf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new();
    struct span text = span_of((const char *)data, size);

    check_header(text, arena);
    check_path(text, false, arena);
    check_path(text, true, arena);
    arena_free(arena);
    return 0;
}
