/* Lists of destinations: addresses, "|command", /file/name, :include:/file/name,
 * separated by commas or line ends, any of them in double quotes. */
#include "local/local.h"
#include "local/local_item.h"

struct list_walk {
    struct local_delivery *ld;
    const struct local_step *from;
    size_t count;
};

static const char *one_address(void *arg, struct span internal)
{
    struct list_walk *walk = arg;
    const char *address = arena_span_str(walk->ld->arena, internal);

    walk->count++;
    if (*address == '\\')
        address++;
    local_address(walk->ld, walk->from, address);
    return NULL;
}

static void addresses(struct list_walk *walk, struct span item)
{
    struct strbuf unused = STRBUF_INIT;

    addr_header_rewrite(item, walk->ld->arena, one_address, walk, &unused);
    strbuf_free(&unused);
}

/* Not an address: a command, a file or an include file. */
static bool special(struct list_walk *walk, const char *text)
{
    static const struct span include = SPAN_LIT(":include:");
    const struct local_step *from = walk->from;
    struct local_delivery *ld = walk->ld;

    if (*text == '|')
        local_command(ld, from, text + 1 + strspn(text + 1, " \t"));
    else if (*text == '/')
        local_file(ld, from, text);
    else if (span_istarts(span_str(text), include))
        local_include(ld, from,
                      arena_span_str(ld->arena, span_trim(span_skip(span_str(text),
                                                                    include.len))));
    else if (strncmp(text, "~/", 2) == 0 && from->origin == ORIGIN_FORWARD &&
             from->rights)
        local_file(ld, from,
                   arena_printf(ld->arena, "%s%s", from->rights->home, text + 1));
    else
        return false;
    walk->count++;
    return true;
}

size_t local_list(struct local_delivery *ld, const struct local_step *from,
                  struct span text)
{
    struct list_walk walk = {ld, from, 0};
    struct span item;
    const char *plain;

    while (local_item_next(&text, &item)) {
        if (item.len == 0 || fiber_cancelled())
            continue;
        plain = local_item_text(item, ld->arena);
        if (!special(&walk, plain))
            addresses(&walk, item);
    }
    return walk.count;
}
