#include <unistd.h>

#include "master/service_frame.h"
#include "util/msg.h"

#define SESSIONS_MAX  1000000
#define LISTENERS_MAX 1000

static bool parse_count(const char *text, uint32_t max, size_t *count_out)
{
    uint32_t value;

    if (!span_u32(span_str(text), &value) || value > max)
        return false;
    *count_out = value;
    return true;
}

static bool add_override(struct service_args *args, struct arena *arena,
                         const char *text)
{
    const char *equals = strchr(text, '=');
    struct config_override *override;

    if (!equals || equals == text)
        return false;
    override = &args->overrides[args->override_count++];
    override->name =
        arena_span_str(arena, span_trim(span_of(text, (size_t)(equals - text))));
    override->value = arena_span_str(arena, span_trim(span_str(equals + 1)));
    return true;
}

static bool parse_option(struct service_args *args, struct arena *arena, int option,
                         const char *value)
{
    switch (option) {
    case 'n':
        args->name = value;
        return true;
    case 't':
        args->type = value;
        return true;
    case 'q':
        return parse_count(value, SESSIONS_MAX, &args->quota);
    case 's':
        return parse_count(value, LISTENERS_MAX, &args->listener_count);
    case 'u':
        args->drop_privilege = true;
        return true;
    case 'c':
        args->chroot = true;
        return true;
    case 'i':
        args->is_public = true;
        return true;
    case 'D':
        args->debug = true;
        return true;
    case 'v':
        msg_verbose++;
        return true;
    case 'o':
        return add_override(args, arena, value);
    }
    return false;
}

bool service_args_parse(int argc, char **argv, struct arena *arena,
                        struct service_args *args, struct err *err)
{
    int option;

    *args = (struct service_args){.name = "", .type = ""};
    args->overrides = arena_alloc(arena, (size_t)argc * sizeof *args->overrides);
    opterr = 0;
    /* "+": what follows the options belongs to the program (pipe, spawn). */
    while ((option = getopt(argc, argv, "+n:t:q:s:ucivDo:")) != -1) {
        if (option == '?')
            return err_set(err, "unknown option, or one without its value: -%c",
                           optopt);
        if (!parse_option(args, arena, option, optarg))
            return err_set(err, "bad value of option -%c: \"%s\"", option, optarg);
    }
    if (!args->name[0] || !args->type[0] || args->listener_count == 0)
        return err_set(err, "this program is started by the master daemon, "
                            "as master.cf says");
    args->rest = (const char *const *)argv + optind;
    return true;
}
